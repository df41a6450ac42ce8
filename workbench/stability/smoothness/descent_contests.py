"""``compare_descents``: second-order methods and their rivals on the same problems."""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from workbench.choices import check_choice, check_count, check_number
from workbench.colors import BLUE, GREEN, ORANGE, SKY, VERMILION
from workbench.problem import Problem
from workbench.progress import progress
from workbench.result import Result, new_axes
from workbench.stability.smoothness.cubic_descents import cubic_newton
from workbench.stability.smoothness.descents import Descent
from workbench.stability.smoothness.newton_descents import regularised_newton
from workbench.stability.smoothness.quasi_newton_descents import quasi_newton

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FIRST_ORDER = 10  # iterations of methods without a matrix, for each of one with it

METHODS: dict[str, Callable[..., Descent]] = {
    "Newton (hessian)": partial(regularised_newton, matrix="hessian"),
    "Newton (ggn)": partial(regularised_newton, matrix="ggn"),
    "Newton (fisher)": partial(regularised_newton, matrix="fisher"),
    "Newton (low rank)": partial(regularised_newton, matrix="low rank"),
    "cubic Newton": cubic_newton,
    "L-BFGS": quasi_newton,
    "gradient descent": partial(regularised_newton, matrix="none"),
}
LINES = {
    "Newton (hessian)": (BLUE, "-"),
    "Newton (ggn)": (SKY, "-"),
    "Newton (fisher)": (ORANGE, "-"),
    "Newton (low rank)": (BLUE, ":"),
    "cubic Newton": (VERMILION, "-"),
    "L-BFGS": (GREEN, "-"),
    "gradient descent": ("black", "-"),
}


@dataclasses.dataclass(frozen=True, repr=False)
class DescentContest(Result):
    """Descents of several methods on several problems, each from one start.

    Attributes
    ----------
    problems, methods : tuple of str
    descents : tuple of tuple of Descent
        For each problem that of each method.
    precision : float
        A problem is solved where all but this share of the way from its start to the lowest loss that any
        method reached is made.
    interrupted : bool
        Whether problems are missing.
    """

    problems: tuple[str, ...]
    methods: tuple[str, ...]
    descents: tuple[tuple[Descent, ...], ...]
    precision: float
    interrupted: bool = False

    def lowest(self, problem: int) -> float:
        """The lowest loss that any method reached."""
        return float(min(descent.losses.min() for descent in self.descents[problem]))

    def goal(self, problem: int) -> float:
        """The loss at which a problem is solved."""
        lowest = self.lowest(problem)
        return lowest + self.precision * (float(self.descents[problem][0].losses[0]) - lowest)

    def frame(self) -> pd.DataFrame:
        """One row per problem and method: iterations and work, in gradients, until it is solved."""
        rows = []
        for place, (problem, descents) in enumerate(zip(self.problems, self.descents, strict=True)):
            goal = self.goal(place)
            for method, descent in zip(self.methods, descents, strict=True):
                row: dict[str, object] = {"problem": problem, "method": method}
                row["iterations"], row["work"] = descent.iterations_to(goal), descent.work_to(goal)
                row["last_loss"], row["reason"] = descent.losses[-1], descent.reason
                rows.append(row)
        return pd.DataFrame(rows)

    def plot(self, ax: "Axes | None" = None, problem: int = 0, against: str = "work") -> "Axes":
        """Loss above the lowest one on a problem, against work or iterations."""
        check_choice("against", against, ("work", "iterations"))
        ax = new_axes(ax)
        lowest = self.lowest(problem)
        for method, descent in zip(self.methods, self.descents[problem], strict=True):
            color, style = LINES[method]
            where = descent.work if against == "work" else np.arange(len(descent.losses))
            gap = descent.losses - lowest
            shown = gap > 0
            ax.plot(where[shown], gap[shown], style, color=color, label=method)
        ax.axhline(self.goal(problem) - lowest, color="black", lw=0.6, linestyle=":")
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xlabel("gradients, a product counted as two" if against == "work" else "iteration")
        ax.set_ylabel("loss above the lowest")
        ax.set_title(self.problems[problem], fontsize="small")
        ax.legend(fontsize="x-small")
        return ax

    def summary(self) -> str:
        """On each problem, iterations and work of each method until it is solved."""
        lines = []
        table = self.frame()
        for place, problem in enumerate(self.problems):
            rows = table.iloc[place * len(self.methods) : (place + 1) * len(self.methods)]
            parts = [
                f"{method} {iterations:.0f} / {work:.0f}" if np.isfinite(iterations) else f"{method} never"
                for method, iterations, work in zip(rows.method, rows.iterations, rows.work, strict=True)
            ]
            lines.append(f"{problem}: " + ", ".join(parts))
        note = ", INTERRUPTED before the other problems" if self.interrupted else ""
        return "\n".join(
            [
                *lines,
                f"iterations / gradients until all but {self.precision:.0e} of the way down is made, a "
                f"product counted as two gradients; one start each{note}",
            ]
        )


def compare_descents(
    problems: Sequence[Problem],
    methods: Sequence[str] = tuple(METHODS),
    *,
    iterations: int = 50,
    tol: float = 1e-8,
    precision: float = 1e-6,
) -> DescentContest:
    """Run each method on each problem from where the problem stands.

    Parameters
    ----------
    problems : sequence of Problem
        Computed in float64.
    methods : sequence of str
        Of ``METHODS``.
    iterations : int
        At most; ten times as many for L-BFGS and gradient descent, whose iterations cost no products.
    tol : float
        A method ends at this norm of the gradient, relative to the first one.
    precision : float
        When a problem counts as solved, see :class:`DescentContest`.

    Returns
    -------
    DescentContest
        An interrupt (Ctrl-C) returns the problems on which all methods ended.

    Raises
    ------
    ValueError
        If there is no such method, or a number is out of range.
    """
    for method in methods:
        check_choice("methods", method, tuple(METHODS))
    check_count("iterations", iterations)
    check_number("precision", precision, above=0, below=1)
    done: list[tuple[Descent, ...]] = []
    interrupted = False
    try:
        with progress("descents", len(problems) * len(methods)) as advance:
            for problem in problems:
                row = []
                for method in methods:
                    most = iterations * (_FIRST_ORDER if method in ("L-BFGS", "gradient descent") else 1)
                    descent = METHODS[method](problem, iterations=most, tol=tol)
                    if descent.interrupted:
                        raise KeyboardInterrupt
                    row.append(descent)
                    advance(1, f"{method} on {problem.name}")
                done.append(tuple(row))
    except KeyboardInterrupt:
        if not done:
            raise
        interrupted = True
    names = tuple(problem.name for problem in problems[: len(done)])
    return DescentContest(names, tuple(methods), tuple(done), precision, interrupted)
