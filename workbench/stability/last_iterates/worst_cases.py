"""``worst_case``: functions made for a step rule, on which its last iterate is as bad as it gets."""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from workbench.choices import check_choice, check_count
from workbench.progress import progress
from workbench.result import Result, new_axes
from workbench.stability.last_iterates.iterate_bounds import last_iterate_bound
from workbench.stability.last_iterates.runs import COLORS
from workbench.stability.last_iterates.step_rules import rule_steps

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RULES = ("decaying", "constant", "linear")
HORIZONS = (16, 32, 64, 128, 256, 512, 1024, 2048)


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class WorstCase(Result):
    """Gaps f - f* of r rules on the functions that were made for each of them, for n numbers of steps.

    Attributes
    ----------
    rules : tuple of str
        Of the step sizes, and whom the functions were made for.
    horizons : ndarray (n,)
        The T.
    last, average : ndarray (functions, rules, n)
        Gap of the last iterate, and of the mean of all.
    bounds : ndarray (functions, rules, n)
        Of the last iterate, from the step sizes and the norms of the subgradients that were met.
    floors : ndarray (functions, n)
        What the last iterate of the rule that a function was made for cannot be below.
    interrupted : bool
        Whether there are fewer horizons than were asked for.
    """

    rules: tuple[str, ...]
    horizons: np.ndarray
    last: np.ndarray
    average: np.ndarray
    bounds: np.ndarray
    floors: np.ndarray
    interrupted: bool = False

    def scaled(self, rule: str, made_for: str | None = None, iterate: str = "last") -> np.ndarray:
        """Gap times the root of T (n,); on the function made for the rule itself by default."""
        gaps = {"last": self.last, "average": self.average}[iterate]
        return gaps[self._place(made_for or rule), self._place(rule)] * np.sqrt(self.horizons)

    def log_slope(self, rule: str, made_for: str | None = None, iterate: str = "last") -> tuple[float, float]:
        """Slope of the scaled gap in log T, and its standard error: 0 without a log T, constant with one.

        There is no noise: the error says how far the points are from a line.
        """
        line = stats.linregress(np.log(self.horizons), self.scaled(rule, made_for, iterate))
        return float(line.slope), float(line.stderr)

    @property
    def largest_share(self) -> float:
        """Largest gap of a last iterate over its bound: at most 1, or the bound is wrong."""
        return float((self.last / self.bounds).max())

    def frame(self) -> pd.DataFrame:
        """One row per function, rule and T."""
        made, rule, place = (each.ravel() for each in np.indices(self.last.shape))
        names = np.array(self.rules)
        floors = np.where(made == rule, self.floors[made, place], math.nan)
        return pd.DataFrame(
            {
                "made_for": names[made],
                "rule": names[rule],
                "steps": self.horizons[place],
                "last": self.last.ravel(),
                "average": self.average.ravel(),
                "bound": self.bounds.ravel(),
                "floor": floors,
            }
        )

    def plot(self, ax: "Axes | None" = None, made_for: str = "decaying") -> "Axes":
        """Draw the gaps times the root of T against T, on one function; dashed the mean of the iterates."""
        ax = new_axes(ax)
        for rule in self.rules:
            slope, error = self.log_slope(rule, made_for)
            label = f"{rule}: {slope:.3f} ± {error:.1g} per unit of log T"
            ax.plot(self.horizons, self.scaled(rule, made_for), "o-", ms=3, color=COLORS[rule], label=label)
            ax.plot(self.horizons, self.scaled(rule, made_for, "average"), "--", color=COLORS[rule], lw=1)
        ax.set_xscale("log", base=2)
        ax.set_xlabel("steps T")
        ax.set_ylabel("(f - f*) √T")
        ax.set_title(
            f"a function made for {made_for} steps; dashed the mean of the iterates", fontsize="small"
        )
        ax.legend(fontsize="x-small")
        return ax

    def summary(self) -> str:
        """Slopes in log T of each rule on its own function, and how near the bound is."""
        lines = []
        for rule in self.rules:
            (last, error), (mean, _) = self.log_slope(rule), self.log_slope(rule, iterate="average")
            lines.append(
                f"{rule}: on its worst case (f - f*) √T of the last rises by {last:.3f} ± {error:.1g} "
                f"per unit of log T, of the mean by {mean:.3f}"
            )
        note = ", INTERRUPTED before the larger T" if self.interrupted else ""
        lines.append(
            f"largest gap over its bound {self.largest_share:.2f}, T up to {self.horizons[-1]}{note}"
        )
        return "\n".join(lines)

    def _place(self, rule: str) -> int:
        check_choice("rule", rule, self.rules)
        return self.rules.index(rule)


def worst_case(rules: Sequence[str] = RULES, horizons: Sequence[int] = HORIZONS) -> WorstCase:
    r"""Run step rules on functions made for each of them, after the lower bound of Harvey and others.

    For T steps with sizes :math:`\eta_j` take :math:`f(x) = \max_{1 \le i \le T + 1} h_i^\top x` with

    .. math:: h_{ij} = a_j \ (j < i), \quad h_{ii} = -b_i, \quad h_{ij} = 0 \ (j > i), \qquad
        b_j = \frac{c}{\eta_j}, \ a_j = \frac{c}{2 \sum_{k \ge j} \eta_k}, \ c = \frac12 \min_k \eta_k,

    and its subgradient at a tie is the first of the largest :math:`h_i`. It starts at its minimum, 0. Step t
    meets :math:`h_t`: it raises coordinate t to c, and later steps take half of that at most, so that

    .. math:: f(x_{T+1}) \ge h_{T+1}^\top x_{T+1} \ge \frac c2 \sum_j a_j .

    For equal steps, and for :math:`1/\sqrt t`, that is a multiple of :math:`\log T / \sqrt T`; for steps that
    decay linearly a multiple of :math:`T^{-3/2}`.

    Parameters
    ----------
    rules : sequence of {"decaying", "constant", "linear"}
        With :math:`\eta = 1`.
    horizons : sequence of int
        The T, at least 3 of them and each at least 2.

    Returns
    -------
    WorstCase
        An interrupt (Ctrl-C) returns the T that are done, if they are 3.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Notes
    -----
    Cost: a few times T² operations for each rule, function and T; no noise, one run each.
    Source: Harvey, Liaw, Plan, Randhawa, "Tight analyses for non-smooth stochastic gradient descent",
    arXiv 1812.05217, for :math:`1/\sqrt t`. The constants above fit any steps and are derived here; all
    :math:`\lVert h_i \rVert < 1`, the minimum is 0 because 0 is in the convex hull of the :math:`h_i`, and no
    iterate leaves the unit ball.
    """
    for rule in rules:
        check_choice("rules", rule, RULES)
    for count in horizons:
        check_count("horizons", count, low=2)
    if not rules or len(horizons) < 3:
        raise ValueError(f"{len(rules)} rules and {len(horizons)} horizons: give at least 1 and 3")
    found: list[list[list[tuple[float, float, float]]]] = []
    floors: list[list[float]] = []
    interrupted = False
    try:
        with progress("worst cases", sum(horizons) * len(rules) ** 2) as advance:
            for count in horizons:
                sizes = [rule_steps(rule, count) for rule in rules]
                row: list[list[tuple[float, float, float]]] = []
                low: list[float] = []
                for made_for in sizes:
                    steep, slow = slopes_against(made_for)
                    low.append(float(made_for.min() / 4 * slow.sum()))
                    row.append([])
                    for steps in sizes:
                        row[-1].append(_descend(steep, slow, steps))
                        advance(count)
                found.append(row)
                floors.append(low)
    except KeyboardInterrupt:
        if len(floors) < 3:
            raise
        interrupted = True
    last, average, bounds = np.array(found[: len(floors)]).transpose(3, 1, 2, 0)
    return WorstCase(
        rules=tuple(rules),
        horizons=np.array(horizons[: len(floors)]),
        last=last,
        average=average,
        bounds=bounds,
        floors=np.array(floors).T,
        interrupted=interrupted,
    )


def slopes_against(steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The b and the a (T,) of the function that is made for these step sizes."""
    rise = steps.min() / 2
    return rise / steps, rise / (2 * np.cumsum(steps[::-1])[::-1])


def _descend(steep: np.ndarray, slow: np.ndarray, steps: np.ndarray) -> tuple[float, float, float]:
    """Gap of the last iterate, gap of the mean of all, and the bound of the last."""
    point, total, squares = np.zeros(len(steps)), np.zeros(len(steps)), []
    for step in steps:
        _, place = _largest(steep, slow, point)
        squares.append(_move(steep, slow, point, place, step))
        total += point
    gap, place = _largest(steep, slow, point)
    squares.append(_move(steep, slow, point.copy(), place, 0.0))
    bound = last_iterate_bound(steps, np.array(squares), divergence=0.0)
    return gap, _largest(steep, slow, total / len(steps))[0], bound


def _largest(steep: np.ndarray, slow: np.ndarray, point: np.ndarray) -> tuple[float, int]:
    """Value of the function, and the first of the largest of its T + 1 linear parts."""
    before = np.concatenate([[0.0], np.cumsum(slow * point)])
    before[:-1] -= steep * point
    place = int(before.argmax())
    return float(before[place]), place


def _move(steep: np.ndarray, slow: np.ndarray, point: np.ndarray, place: int, step: float) -> float:
    """Step against one linear part, in place; returns the square of its norm."""
    point[:place] -= step * slow[:place]
    square = float((slow[:place] ** 2).sum())
    if place < len(point):
        point[place] += step * steep[place]
        square += float(steep[place] ** 2)
    return square
