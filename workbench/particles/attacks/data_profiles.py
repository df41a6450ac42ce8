r"""``data_profile``: which share of problems a method solves within a budget.

A problem is solved when the best feasible value f has made up all but a share :math:`\tau` of the way from
the first value :math:`f_0` to the best that any method reached: :math:`f \ge f_L - \tau (f_L - f_0)`.
Budgets are in units of dim + 1 evaluations, one simplex gradient.

Source: Moré and Wild, "Benchmarking derivative-free optimization algorithms", SIAM J. Optim. 20 (2009).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from workbench.choices import check_choice, check_number
from workbench.colors import BLUE, GREEN, ORANGE, SKY, VERMILION
from workbench.result import Result, clopper_pearson, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STYLES = (
    (VERMILION, "-"),
    (BLUE, "-"),
    (GREEN, "-"),
    (ORANGE, "-"),
    (SKY, "-"),
    ("0.3", "-"),
    ("0.6", "--"),
    (VERMILION, "--"),
)


class Trail(NamedTuple):
    r"""What a method had reached after how many evaluations, on one problem.

    Attributes
    ----------
    problem : str
    dim : int
    evaluations : ndarray (n,)
        Ascending.
    best : ndarray (n,)
        The best feasible value by then; :math:`-\infty` before there is one.
    """

    problem: str
    dim: int
    evaluations: np.ndarray
    best: np.ndarray


@dataclasses.dataclass(frozen=True, repr=False)
class DataProfile(Result):
    r"""When each method solved each problem.

    Attributes
    ----------
    methods, problems : tuple of str
    solved : ndarray (methods, problems)
        Evaluations over dim + 1 until it was solved; inf if it was not.
    budget : ndarray (methods, problems)
        Evaluations over dim + 1 at the end of the trail.
    best : ndarray (methods, problems)
        The value at the end.
    tolerance : float
        :math:`\tau`.
    """

    methods: tuple[str, ...]
    problems: tuple[str, ...]
    solved: np.ndarray
    budget: np.ndarray
    best: np.ndarray
    tolerance: float

    def share(self, method: str, units: float) -> float:
        """Share of the problems that a method has solved within so many units of dim + 1 evaluations."""
        check_choice("method", method, self.methods)
        return float((self.solved[self.methods.index(method)] <= units).mean())

    def frame(self) -> pd.DataFrame:
        """One row per method and problem."""
        rows, columns = self.solved.shape
        return pd.DataFrame(
            {
                "method": np.repeat(self.methods, columns),
                "problem": np.tile(self.problems, rows),
                "solved_after": self.solved.ravel(),
                "budget": self.budget.ravel(),
                "best": self.best.ravel(),
            }
        )

    def by_method(self) -> pd.DataFrame:
        """One row per method: problems solved, with an exact 95 % interval, and the median time of all."""
        hits = np.isfinite(self.solved).sum(1)
        low, high = clopper_pearson(hits, len(self.problems))
        return pd.DataFrame(
            {
                "method": self.methods,
                "solved": hits,
                "of": len(self.problems),
                "low": low,
                "high": high,
                "median_units": [_median(times) for times in self.solved],
            }
        )

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Share of problems solved against evaluations over dim + 1."""
        ax = new_axes(ax)
        first, end = min(1.0, float(self.solved.min())), float(self.budget.max())
        for row, (name, times) in enumerate(zip(self.methods, self.solved, strict=True)):
            x = np.sort(times[np.isfinite(times)])
            share = np.arange(len(x) + 1) / len(times)
            color, line = _STYLES[row % len(_STYLES)]
            ax.step(
                [*np.concatenate([[first], x]), end], [*share, share[-1]], where="post", color=color,
                linestyle=line, label=name,
            )  # fmt: skip
        ax.set_xscale("log")
        ax.set_ylim(-0.03, 1.03)
        ax.set_xlabel("evaluations / (dim + 1)")
        ax.set_ylabel("share of problems solved")
        ax.set_title(
            f"{len(self.problems)} problems, solved to {self.tolerance:g} of the best gain", fontsize="small"
        )
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """One line for each method."""
        return "\n".join(
            f"{row.method}: {row.solved} of {row.of} solved to {self.tolerance:g} "
            f"({row.low:.2f} to {row.high:.2f}, 95 % interval), median {row.median_units:.3g} × (dim + 1)"
            for row in self.by_method().itertuples()
        )


def data_profile(trails: Mapping[str, Sequence[Trail]], tolerance: float = 1e-3) -> DataProfile:
    r"""Put the trails of methods on the same problems into one profile.

    Parameters
    ----------
    trails : mapping of str to sequence of Trail
        By method; each has the same problems in the same order. The first value of a problem is the least
        that a trail starts with.
    tolerance : float
        :math:`\tau`, between 0 and 1.

    Raises
    ------
    ValueError
        If there is nothing to compare, the problems differ, or the tolerance is out of range.
    """
    check_number("tolerance", tolerance, above=0, below=1)
    if not trails or not all(trails.values()):
        raise ValueError("there is nothing to compare: pass at least one trail a method")
    names = {method: tuple(trail.problem for trail in runs) for method, runs in trails.items()}
    problems = next(iter(names.values()))
    for method, theirs in names.items():
        if theirs != problems:
            raise ValueError(
                f"{method} ran on {theirs}, the first method on {problems}: they must be the same"
            )
    rows = list(trails.values())
    columns = list(zip(*rows, strict=True))
    reached = [max(float(trail.best.max()) for trail in column) for column in columns]
    starts = [min(_first(trail) for trail in column) for column in columns]
    goals = [best - tolerance * (best - first) for best, first in zip(reached, starts, strict=True)]
    return DataProfile(
        methods=tuple(trails),
        problems=problems,
        solved=np.array([[_when(t, goal) for t, goal in zip(row, goals, strict=True)] for row in rows]),
        budget=np.array([[t.evaluations[-1] / (t.dim + 1) for t in row] for row in rows]),
        best=np.array([[t.best.max() for t in row] for row in rows]),
        tolerance=tolerance,
    )


def _first(trail: Trail) -> float:
    """The first feasible value; inf if there is none."""
    feasible = trail.best[np.isfinite(trail.best)]
    return float(feasible[0]) if len(feasible) else np.inf


def _when(trail: Trail, goal: float) -> float:
    reached = (trail.best >= goal) & np.isfinite(trail.best)
    return float(trail.evaluations[reached.argmax()] / (trail.dim + 1)) if reached.any() else np.inf


def _median(times: np.ndarray) -> float:
    """Median that may be inf, of which numpy makes nan."""
    ordered = np.sort(times)
    return float(ordered[(len(times) - 1) // 2] + ordered[len(times) // 2]) / 2
