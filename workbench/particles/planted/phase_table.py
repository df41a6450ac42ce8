"""``PhaseDiagram``: how often directions were found, the sizes from which on, and how these grow."""

import dataclasses
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from workbench.choices import check_choice
from workbench.colors import BLUE, GREEN, ORANGE, SKY, VERMILION
from workbench.result import Result, clopper_pearson, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FOUND = 0.5  # cosine from which on a direction counts as found
_RESAMPLES = 1000
_COLORS = (ORANGE, SKY, BLUE, VERMILION, GREEN)


class Threshold(NamedTuple):
    """An estimate with its bootstrap interval of 95%; ends that a grid does not reach are infinite."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Value and interval; what is outside of the grid says on which side, or that it is not known."""
        value, low, high = map(_number, self)
        return value if np.isnan(self.low) else f"{value} [{low}, {high}]"


@dataclasses.dataclass(frozen=True, repr=False)
class PhaseDiagram(Result):
    """Cosines with the planted direction over methods, dimensions, instances and sample sizes.

    Attributes
    ----------
    model : str
    order : int
    dims : tuple of int
    exponents : ndarray (exponents,)
        p, of which n is the p-th power of the dimension.
    sizes : ndarray (dims, exponents) of int
        n.
    methods : tuple of str
    overlaps : ndarray (methods, dims, runs, exponents)
        Cosines at the end; nan where an interrupt came first.
    settings : dict
        Of the chains.
    interrupted : bool
    """

    model: str
    order: int
    dims: tuple[int, ...]
    exponents: np.ndarray
    sizes: np.ndarray
    methods: tuple[str, ...]
    overlaps: np.ndarray
    settings: dict[str, Any]
    interrupted: bool = False

    def threshold(self, method: str, dim: int) -> Threshold:
        """The exponent p at which half of the instances are found, with a bootstrap over instances.

        Between two exponents of the grid p is interpolated, which the interval knows nothing of.
        -inf if half are found at the smallest size already, inf if they are not at the largest, nan without
        data.
        """
        if dim not in self.dims:
            raise ValueError(f"dim={dim} is not one of {self.dims}")
        values = self._crossings[self._place(method), self.dims.index(dim)]
        return _interval(values)

    def growth(self, method: str) -> Threshold:
        """The slope of the logarithm of n at one half against that of d, by least squares over dimensions.

        Instances of each dimension are resampled. nan if a threshold is outside the grid; resamples in which
        one is are left out of the interval, which is nan if they are more than a tenth.
        """
        logs = np.log(self.dims)
        if len(logs) < 2:
            return Threshold(np.nan, np.nan, np.nan)
        n = self._crossings[self._place(method)] * logs[:, None]
        centred = logs - logs.mean()
        with np.errstate(invalid="ignore"):
            slopes = centred @ n / (centred @ centred)
        return _interval(np.where(np.isfinite(slopes), slopes, np.nan))

    def thresholds(self) -> pd.DataFrame:
        """One row per method: growth with its interval, and p at one half of every dimension."""
        rows = []
        for method in self.methods:
            growth = self.growth(method)
            row: dict[str, Any] = {"method": method, "growth": growth.value}
            row |= {"growth_low": growth.low, "growth_high": growth.high}
            for dim in self.dims:
                row[f"p_{dim}"], row[f"p_{dim}_low"], row[f"p_{dim}_high"] = self.threshold(method, dim)
            rows.append(row)
        return pd.DataFrame(rows)

    def frame(self) -> pd.DataFrame:
        """One row per method, dimension and size: share of instances found, with exact 95% intervals."""
        rows = []
        for i, method in enumerate(self.methods):
            for d, dim in enumerate(self.dims):
                values = self.overlaps[i, d]
                values = values[~np.isnan(values).any(1)]
                hits = (values > FOUND).sum(0)
                for j, exponent in enumerate(self.exponents):
                    if not len(values):
                        continue
                    low, high = clopper_pearson(hits[j], len(values))
                    rows.append(
                        {
                            "method": method,
                            "dim": dim,
                            "exponent": exponent,
                            "size": self.sizes[d, j],
                            "runs": len(values),
                            "overlap": values[:, j].mean(),
                            "found": hits[j] / len(values),
                            "low": float(low),
                            "high": float(high),
                        }
                    )
        return pd.DataFrame(rows)

    def plot(self, ax: "Axes | None" = None, method: str = "average, ascent") -> "Axes":
        """Share of instances found against p, a line for each dimension, with exact 95% intervals."""
        check_choice("method", method, self.methods)
        ax = new_axes(ax)
        table = self.frame()
        for place, dim in enumerate(self.dims):
            rows = table[(table["method"] == method) & (table["dim"] == dim)]
            color = _COLORS[place % len(_COLORS)]
            ax.plot(rows["exponent"], rows["found"], "o-", color=color, markersize=4, label=f"d = {dim}")
            ax.fill_between(rows["exponent"], rows["low"], rows["high"], color=color, alpha=0.12, linewidth=0)
        ax.axhline(0.5, color="0.6", linewidth=0.8)
        ax.set_ylim(-0.03, 1.03)
        ax.set_xlabel("p, where n = d^p")
        ax.set_ylabel(f"share of instances with cosine above {FOUND:g}")
        ax.set_title(f"{self.model}, k = {self.order}: {method}", fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def plot_growth(self, ax: "Axes | None" = None) -> "Axes":
        """The growth of every method with its bootstrap interval, and the exponents of theory."""
        ax = new_axes(ax)
        table = self.thresholds()
        places = np.arange(len(table))[::-1]
        sides = np.stack([table["growth"] - table["growth_low"], table["growth_high"] - table["growth"]])
        ax.errorbar(table["growth"], places, xerr=sides, fmt="o", color=BLUE, capsize=3)
        for value, style, label in (
            (self.order / 2, "-", "k/2"),
            (np.ceil(self.order / 2), "--", "⌈k/2⌉"),
            (max(1, self.order - 1), ":", "k − 1"),
        ):
            ax.axvline(value, color="0.4", linestyle=style, linewidth=1, label=label)
        ax.set_yticks(places, self.methods)
        ax.set_xlabel("growth of n at one half with d: exponent, 95% bootstrap interval")
        ax.set_title(
            f"{self.model}, k = {self.order}, d from {self.dims[0]} to {self.dims[-1]}", fontsize="small"
        )
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """Growth of every method with its interval, and p at one half in the largest dimension."""
        dim = self.dims[-1]
        note = ", INTERRUPTED" if self.interrupted else ""
        lines = [
            f"{self.model}, k = {self.order}, d in {self.dims}, {self.overlaps.shape[2]} instances each"
            f"{note}; n at which half are found grows as d to the"
        ]
        for method in self.methods:
            lines.append(f"{method}: {self.growth(method)}; p at d = {dim}: {self.threshold(method, dim)}")
        lines.append(
            "[95% bootstrap interval over instances; below, above: outside of the exponents asked for]"
        )
        return "\n".join(lines)

    @cached_property
    def _crossings(self) -> np.ndarray:
        """Exponents p at one half (methods, dims, 1 + resamples): of the data, then of resampled instances.

        Methods share the resamples of a dimension, as they share its instances. Resampled are the instances
        and two more, one found at every size and one at none: where all instances agree, resamples of them
        alone do so, too, and intervals of no width hold the truth in as few as a quarter of the cases. With
        these two it was 93% or more in simulations of 6 to 40 instances.
        """
        methods, dims, _, _ = self.overlaps.shape
        crossings = np.full((methods, dims, 1 + _RESAMPLES), np.nan)
        random = np.random.default_rng(0)
        for d in range(dims):
            done = ~np.isnan(self.overlaps[:, d]).any((0, 2))
            if not done.any():
                continue
            found = self.overlaps[:, d, done] > FOUND
            crossings[:, d, 0] = crossing(self.exponents, found.mean(1))
            both_ways = np.zeros((methods, 2, found.shape[2]), bool)
            both_ways[:, 0] = True
            found = np.concatenate([found, both_ways], 1)
            count = found.shape[1]
            draws = random.multinomial(count, np.full(count, 1 / count), _RESAMPLES)
            crossings[:, d, 1:] = crossing(self.exponents, draws @ found / count)
        return crossings

    def _place(self, method: str) -> int:
        check_choice("method", method, self.methods)
        return self.methods.index(method)


def crossing(exponents: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """Where each of the rates (..., exponents), made monotone, first passes one half; linear between points.

    Least squares among rising sequences: at i, the largest over a up to i of the smallest mean from a to b
    over all b from i on.
    """
    points = len(exponents)
    sums = np.concatenate([np.zeros((*rates.shape[:-1], 1)), rates.cumsum(-1)], -1)
    counts = np.arange(1, points + 1) - np.arange(points)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        means = (sums[..., None, 1:] - sums[..., :-1, None]) / counts
    means = np.where(counts > 0, means, np.inf)
    smallest = np.minimum.accumulate(means[..., ::-1], -1)[..., ::-1]
    earlier = np.where(np.tri(points, dtype=bool).T, smallest, -np.inf)  # a at most i
    rising = earlier.max(-2)
    passed = rising >= 0.5 - 1e-12
    j = passed.argmax(-1)
    here, before = (np.take_along_axis(rising, np.maximum(k, 0)[..., None], -1)[..., 0] for k in (j, j - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (0.5 - before) / (here - before)
    between = exponents[j - 1] + share * (exponents[j] - exponents[j - 1])
    return np.where(~passed.any(-1), np.inf, np.where(j == 0, -np.inf, between))


def _number(value: float) -> str:
    if np.isfinite(value):
        return f"{value:.2f}"
    return "unknown" if np.isnan(value) else "above" if value > 0 else "below"


def _interval(values: np.ndarray) -> Threshold:
    """The first value, and the 2.5% and 97.5% points of the others, of which a tenth may be nan."""
    others = values[1:][~np.isnan(values[1:])]
    if np.isnan(values[0]) or len(others) < 0.9 * (len(values) - 1):
        return Threshold(float(values[0]), np.nan, np.nan)
    with np.errstate(invalid="ignore"):  # ends that are infinite
        low, high = np.quantile(others, [0.025, 0.975], method="nearest")
    return Threshold(float(values[0]), float(low), float(high))
