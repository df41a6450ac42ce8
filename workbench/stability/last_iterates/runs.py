"""``sample_runs``: many runs of stochastic gradient descent by several step rules, as one tensor."""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Tensor

from workbench.choices import check_choice, check_count, check_number
from workbench.colors import BLUE, GREEN, ORANGE, VERMILION
from workbench.progress import progress
from workbench.random_vectors import generator
from workbench.result import Result, new_axes, standard_error
from workbench.stability.last_iterates.iterate_bounds import last_iterate_bound, modulus
from workbench.stability.last_iterates.noises import NOISES, Noise
from workbench.stability.last_iterates.objectives import OBJECTIVES, Objective
from workbench.stability.last_iterates.rate_fits import RESAMPLES, Slope, fitted_slope
from workbench.stability.last_iterates.step_rules import RULES, rule_steps

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ITERATES = ("last", "average", "suffix")
HORIZONS = (16, 32, 64, 128, 256, 512, 1024)
COLORS = dict(zip(RULES, (BLUE, ORANGE, VERMILION, GREEN), strict=True))
BLOCKS = 100  # of runs, which the bootstrap resamples
_TOGETHER = 5000  # runs at once: their points stay in the cache of a core


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class SampledRuns(Result):
    """Gaps f - f* after T steps, for r rules, n numbers of steps and R runs.

    Attributes
    ----------
    objective, noise : str
        What was minimised, and the noise of its gradients.
    rules : tuple of str
        Of the step sizes.
    horizons : ndarray (n,)
        The T, each with runs of its own.
    blocks : ndarray (rules, 3, n, 100)
        Mean gaps of blocks of runs, at the last iterate, the mean of all and the mean of the last half.
    last : ndarray (rules, R)
        Gap of the last iterate of every run, for the largest T, in order of size.
    bounds : ndarray (rules, n)
        Of the mean gap of the last iterate, from the step sizes; inf where the noise has no such moment.
    base, power : float
        The step sizes' constant, and p of the moment that they are made for.
    mirror : bool
        Whether the steps were those of mirror descent, which for p = 2 is SGD.
    dim, runs, seed : int
    interrupted : bool
        Whether there are fewer horizons than were asked for.
    """

    objective: str
    noise: str
    rules: tuple[str, ...]
    horizons: np.ndarray
    blocks: np.ndarray
    last: np.ndarray
    bounds: np.ndarray
    base: float
    power: float
    mirror: bool
    dim: int
    runs: int
    seed: int
    interrupted: bool = False

    def mean(self, rule: str, iterate: str = "last") -> tuple[np.ndarray, np.ndarray]:
        """Mean gap (n,) and its standard error, from the blocks."""
        blocks = self._of(rule, iterate)
        return blocks.mean(-1), standard_error(blocks.T)

    def slope(self, rule: str, iterate: str = "last") -> Slope:
        """Power of T that the mean gap falls with, and its 95% interval by the bootstrap."""
        return fitted_slope(self.horizons, self._of(rule, iterate), self.seed)

    def bound_slope(self, rule: str) -> float:
        """Power of T that the bound falls with over the same T; nan if there is none."""
        bounds = self.bounds[self._place(rule)]
        if not np.isfinite(bounds).all():
            return math.nan
        return float(np.polyfit(np.log(self.horizons), np.log(bounds), 1)[0])

    @property
    def largest_share(self) -> float:
        """Largest mean gap of a last iterate over its bound: at most 1, or the bound is wrong."""
        return float((self.blocks[:, 0].mean(-1) / self.bounds).max())

    def quantiles(self, rule: str, deltas: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Gaps that the last iterate exceeds with the probabilities given, at the largest T.

        With their 95% intervals from order statistics, whose ranks are binomial.
        """
        ordered = self.last[self._place(rule)]
        level = 1 - deltas
        ranks = [level, *(stats.binom.ppf(each, self.runs, level) / self.runs for each in (0.025, 0.975))]
        places = [np.clip(np.floor(rank * self.runs).astype(int), 0, self.runs - 1) for rank in ranks]
        return ordered[places[0]], ordered[places[1]], ordered[places[2]]

    def growth(self, rule: str, delta: float = 1e-3) -> tuple[float, float, float]:
        """How much more the quantile rises over the last decade of delta than over the one before.

        1 if it is linear in log(1/delta), as for sub-exponential tails; a power law of the tail gives more.
        With its 95% interval by the bootstrap over runs; nan where quantiles coincide.
        """
        ordered = self.last[self._place(rule)]
        places = [int((1 - each) * self.runs) for each in (100 * delta, 10 * delta, delta)]
        if self.runs - places[-1] < 10 or places[0] < 0:
            raise ValueError(f"delta={delta} is out of range: it must be from {10 / self.runs:g} to 0.01")
        drawn = _resampled_places(self.runs, places, self.seed)
        values = [_rise(ordered[places]), *map(_rise, ordered[drawn])]
        low, high = np.quantile(values[1:], (0.025, 0.975))
        return values[0], float(low), float(high)

    def frame(self) -> pd.DataFrame:
        """One row per rule, iterate and T: mean gap, standard error, bound (of the last iterate)."""
        parts = []
        for place, rule in enumerate(self.rules):
            for iterate in ITERATES:
                mean, error = self.mean(rule, iterate)
                columns = {"rule": rule, "iterate": iterate, "steps": self.horizons, "gap": mean}
                bounds = self.bounds[place] if iterate == "last" else math.nan
                parts.append(pd.DataFrame(columns | {"gap_stderr": error, "bound": bounds}))
        return pd.concat(parts, ignore_index=True)

    def rates(self) -> pd.DataFrame:
        """One row per rule and iterate: fitted slope, its 95% interval, and the slope of the bound."""
        rows = []
        for rule in self.rules:
            for iterate in ITERATES:
                slope = self.slope(rule, iterate)
                bound = self.bound_slope(rule) if iterate == "last" else math.nan
                rows.append({"rule": rule, "iterate": iterate, **slope._asdict(), "bound_slope": bound})
        return pd.DataFrame(rows)

    def plot(self, ax: "Axes | None" = None, iterate: str = "last") -> "Axes":
        """Draw the mean gap against T, with two standard errors; dashed the bounds of the last iterate."""
        ax = new_axes(ax)
        for place, rule in enumerate(self.rules):
            mean, error = self.mean(rule, iterate)
            slope = self.slope(rule, iterate)
            label = f"{rule}: slope {slope.value:.2f} [{slope.low:.2f}, {slope.high:.2f}]"
            ax.errorbar(self.horizons, mean, 2 * error, fmt="o-", ms=3, color=COLORS[rule], label=label)
            if iterate == "last" and np.isfinite(self.bounds[place]).all():
                ax.plot(self.horizons, self.bounds[place], "--", color=COLORS[rule], linewidth=1)
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        ax.set_xlabel("steps T")
        ax.set_ylabel(f"mean of f - f* ({iterate} iterate)")
        ax.set_title(self._title(), fontsize="small")
        ax.legend(fontsize="x-small")
        return ax

    def plot_quantiles(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the gap that is exceeded with probability delta against 1/delta, at the largest T."""
        ax = new_axes(ax)
        deltas = np.logspace(0, math.log10(10 / self.runs), 40)[1:]
        for rule in self.rules:
            value, low, high = self.quantiles(rule, deltas)
            ax.plot(1 / deltas, value, color=COLORS[rule], label=rule)
            ax.fill_between(1 / deltas, low, high, color=COLORS[rule], alpha=0.25, linewidth=0)
        ax.set_xscale("log")
        ax.set_xlabel("1 / probability of more")
        ax.set_ylabel(f"f - f* after {self.horizons[-1]} steps")
        ax.set_title(self._title(), fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """Slopes of the last iterates with their intervals, the bounds, and what was run."""
        lines = []
        for rule in self.rules:
            slope = self.slope(rule)
            bound = self.bound_slope(rule)
            told = "no bound" if math.isnan(bound) else f"its bound as T^{bound:.2f}"
            lines.append(
                f"{rule}: last iterate as T^{slope.value:.3f} [{slope.low:.3f}, {slope.high:.3f}], {told}"
            )
        note = ", INTERRUPTED before the larger T" if self.interrupted else ""
        steps = int(self.horizons.sum()) * self.runs * len(self.rules)
        lines.append(f"largest mean over its bound {self.largest_share:.2f}; {steps:.3g} steps{note}")
        return "\n".join([self._title(), *lines])

    def _title(self) -> str:
        method = "mirror descent" if self.mirror and self.power < 2 else "SGD"
        method += f" for p = {self.power:g}" if self.power < 2 else ""
        return f"{method}, {self.objective}, {self.noise} noise, d = {self.dim}, {self.runs} runs"

    def _of(self, rule: str, iterate: str) -> np.ndarray:
        check_choice("iterate", iterate, ITERATES)
        return self.blocks[self._place(rule), ITERATES.index(iterate)]

    def _place(self, rule: str) -> int:
        check_choice("rule", rule, self.rules)
        return self.rules.index(rule)


def sample_runs(
    objective: str = "absolute",
    rules: Sequence[str] | None = None,
    *,
    noise: str = "gaussian",
    horizons: Sequence[int] = HORIZONS,
    runs: int = 100_000,
    dim: int = 2,
    power: float | None = None,
    mirror: bool = True,
    base: float | None = None,
    seed: int = 0,
) -> SampledRuns:
    r"""Run stochastic gradient descent many times for several numbers of steps, and bound its last iterate.

    Every run starts at 0, a distance of 1 from the minimum in each coordinate. The rules see the same noise;
    different T do not, so that a fitted slope has independent points.

    Parameters
    ----------
    objective : {"absolute", "quadratic"}
        :math:`\sum_i |x_i - 1|`, or :math:`\frac12 \sum_i c_i (x_i - 1)^2` with curvatures from 0.1 to 1.
    rules : sequence of {"decaying", "constant", "linear", "strongly convex"}, optional
        Of the step sizes, see :func:`rule_steps`; all by default. The last is for the quadratic.
    noise : {"none", "signs", "gaussian", "pareto"}
        Added to each coordinate of the gradient, of variance 1; Pareto's tail falls as the power -1.6 and
        has none.
    horizons : sequence of int
        The T, in ascending order, at least 2 of them and each at least 2.
    runs : int
        A multiple of 100.
    dim : int
        Coordinates.
    power : float, optional
        p, by default 2, or 1.5 for Pareto's noise: step sizes, and mirror descent by
        :math:`\sum_i |x_i|^q/q` with 1/p + 1/q = 1, for noise with a moment p below 2. Only
        for ``"absolute"``.
    mirror : bool
        False: plain SGD with the same step sizes, of which nothing is promised below p = 2.
    base : float, optional
        :math:`\eta`; by default what is best in the bound of constant steps, as far as sums over t go.
    seed : int
        Of the noise.

    Returns
    -------
    SampledRuns
        An interrupt (Ctrl-C) returns the T that are done, if they are two.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range; if the noise has no moment p and no ``base`` is given.

    Notes
    -----
    Cost: sum of the T times runs, rules and coordinates, 2 to 3 ns each on one core, 11 with Pareto's noise.
    The settings are after Liu and Zhou, arXiv 2312.08531; the bounds are :func:`last_iterate_bound`'s.
    """
    if rules is None:
        rules = RULES if objective == "quadratic" else RULES[:-1]
    if power is None:
        power = 1.5 if noise == "pareto" else 2.0
    numbers = _checked(objective, rules, noise, horizons, runs, dim, power)
    goal, kind = OBJECTIVES[objective](dim), NOISES[noise]
    divergence, moment = dim / (power / (power - 1)), _moment(goal, kind, power, dim)
    eta = _best_base(divergence, moment, power) if base is None else base
    exponent = power - 1 if mirror else 1.0  # of the point in its dual
    limits = {"power": power, "smoothness": goal.smoothness or 0.0, "convexity": goal.convexity}
    random = generator(seed)
    found: list[np.ndarray] = []
    last, bounds = np.empty(0), []
    interrupted = False
    try:
        with progress("runs", sum(numbers) * math.ceil(runs / _TOGETHER)) as advance:
            for count in numbers:
                steps = np.stack([rule_steps(rule, count, eta, **limits) for rule in rules])
                gaps = []
                for size in _parts(runs):
                    gaps.append(_gaps(goal, kind, steps, (size, dim), exponent, random))
                    advance(count)
                together = torch.cat(gaps, -1).double().numpy()
                found.append(together.reshape(len(rules), len(ITERATES), BLOCKS, -1).mean(-1))
                last = np.sort(together[:, 0], axis=-1)
                promised = moment if mirror or power == 2 else math.inf
                pairs = zip(rules, steps, strict=True)
                bounds.append([_bound(goal, rule, each, promised, divergence, power) for rule, each in pairs])
    except KeyboardInterrupt:
        if len(bounds) < 2:
            raise
        interrupted = True
    done = len(bounds)
    return SampledRuns(
        objective=objective,
        noise=noise,
        rules=tuple(rules),
        horizons=np.array(numbers[:done]),
        blocks=np.stack(found[:done], axis=2),
        last=last.astype(np.float32),
        bounds=np.array(bounds).T,
        base=float(eta),
        power=float(power),
        mirror=mirror,
        dim=dim,
        runs=runs,
        seed=seed,
        interrupted=interrupted,
    )


def _gaps(
    goal: Objective,
    kind: Noise,
    steps: np.ndarray,
    shape: tuple[int, int],
    exponent: float,
    random: torch.Generator,
) -> Tensor:
    """Gaps (rules, 3, runs) of the last iterate, the mean of all and the mean of the last half."""
    rules, count = steps.shape
    rates = torch.from_numpy(steps).float()[:, :, None, None]
    point = torch.zeros(rules, *shape)
    dual, total, late = (torch.zeros_like(point) for _ in range(3))
    for step in range(count):
        gradient = goal.gradient(point).add_(kind.draw(shape, random))
        dual.addcmul_(gradient, rates[:, step], value=-1)
        point = dual if exponent == 1 else dual.abs().pow_(exponent).copysign_(dual)
        total += point
        if step >= count // 2:
            late += point
    means = (point, total / count, late / (count - count // 2))
    return torch.stack([goal.gap(each) for each in means], dim=1)


def _bound(
    goal: Objective, rule: str, steps: np.ndarray, moment: float, divergence: float, power: float
) -> float:
    """The strong convexity counts for the rule that is made for it."""
    convexity = goal.convexity if rule == "strongly convex" else 0.0
    return last_iterate_bound(
        steps, moment, divergence, smoothness=goal.smoothness, convexity=convexity, power=power
    )


def _moment(goal: Objective, kind: Noise, power: float, dim: int) -> float:
    """Of the noise in the gradients of a smooth function; of the whole subgradient, if it jumps."""
    return dim * (kind.variance if goal.smoothness is not None else kind.mean_power(power))


def _best_base(divergence: float, moment: float, power: float) -> float:
    r"""Minimum of :math:`D/\eta + c^{1-p} \eta^{p-1} m/p`; inf without noise."""
    if math.isinf(moment):
        raise ValueError(f"the noise has no moment p={power:g}: pass base=, or a power below its tail")
    scale = modulus(power) ** (1 - power) * moment
    return (power / (power - 1) * divergence / scale) ** (1 / power) if scale else math.inf


def _parts(runs: int) -> list[int]:
    """Sizes of the parts that are run at once."""
    return [min(_TOGETHER, runs - start) for start in range(0, runs, _TOGETHER)]


def _resampled_places(runs: int, places: Sequence[int], seed: int) -> np.ndarray:
    """Places in the original order (k, places) of what stands at the given places of resamples of all runs.

    Ordered uniform numbers have gaps like independent gammas; a resample takes the values at such numbers.
    """
    random = np.random.default_rng(seed)
    edges = np.diff([-1, *places, runs])
    shares = random.gamma(edges, size=(RESAMPLES, len(edges)))
    uniform = np.cumsum(shares, axis=1)[:, :-1] / shares.sum(1, keepdims=True)
    return np.minimum((uniform * runs).astype(int), runs - 1)


def _rise(quantiles: np.ndarray) -> float:
    """Rise from the second to the third over that from the first to the second; nan if that is none."""
    first, second = np.diff(quantiles)
    return float(second / first) if first else math.nan


def _checked(
    objective: str,
    rules: Sequence[str],
    noise: str,
    horizons: Sequence[int],
    runs: int,
    dim: int,
    power: float,
) -> list[int]:
    """Refuse what cannot be run; the horizons as plain numbers."""
    check_choice("objective", objective, list(OBJECTIVES))
    check_choice("noise", noise, list(NOISES))
    if not rules:
        raise ValueError(f"rules is empty: name some of {', '.join(RULES)}")
    for rule in rules:
        check_choice("rules", rule, RULES)
    for count in horizons:
        check_count("horizons", count, low=2)
    numbers = [int(count) for count in horizons]
    if len(numbers) < 2 or numbers != sorted(set(numbers)):
        raise ValueError(f"horizons={numbers}: give at least 2 numbers of steps in ascending order")
    check_count("runs", runs, low=BLOCKS, multiple=BLOCKS)
    check_count("dim", dim)
    check_number("power", power, above=1)
    if power > 2 or (power < 2 and OBJECTIVES[objective](dim).smoothness is not None):
        raise ValueError(f"power={power} is out of range: at most 2, and 2 for {objective!r}")
    return numbers
