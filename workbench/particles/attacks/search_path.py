"""``SearchPath``: what a direct search found, step by step, and what each step cost."""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from torch import Tensor

from workbench.choices import check_choice
from workbench.colors import BLUE, GREEN, ORANGE, SKY, VERMILION
from workbench.particles.attacks.data_profiles import Trail
from workbench.particles.objectives import GRADIENT_COST
from workbench.result import Result, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COUNTS = ("batched", "opportunistic")
STAGES = ("attack", "covering", "search", "poll")  # in the order of a step
_COLORS = {"attack": VERMILION, "covering": ORANGE, "search": SKY, "poll": BLUE, "improving": GREEN}


@dataclasses.dataclass(frozen=True, repr=False)
class SearchPath(Result):
    r"""The path of one search; a record is the start or the end of a step.

    Attributes
    ----------
    problem, method, barrier : str
    points : Tensor (records, dim)
        Incumbents: the best feasible point, or the infeasible one while there is none.
    values, violations : ndarray (records,)
        Goal and violation there.
    stages : tuple of str
        What each step was: "start", "attack", "covering", "search" or "poll" for a success by a point of that
        stage, "improving" for a failure that found a promising infeasible point, "failure", "cut" by the
        budget.
    delta, radius : ndarray (records,)
        Distance of poll points, and radius of the attack, of the next step.
    evaluations : ndarray (records,) of int
        Points evaluated so far, all of a step in one forward pass: what was spent.
    opportunistic : ndarray (records,) of int
        The same path one point at a time: of a successful step, the points up to the one that was taken.
    passes : ndarray (records,) of int
        Forward passes so far, those of gradients left out.
    gradients : ndarray (records,) of int
        Backward passes so far, each with its forward pass.
    blind : int
        Steps in which the attack had no direction.
    poll_gain : float
        How far the best feasible point of the last failed poll was above the incumbent (negative if it was
        below; nan if there was no failed poll, :math:`-\infty` if no point of it was feasible).
    reason : str
        Why it ended: "delta", "evaluations", or "interrupted".
    interrupted : bool
    """

    problem: str
    method: str
    barrier: str
    points: Tensor
    values: np.ndarray
    violations: np.ndarray
    stages: tuple[str, ...]
    delta: np.ndarray
    radius: np.ndarray
    evaluations: np.ndarray
    opportunistic: np.ndarray
    passes: np.ndarray
    gradients: np.ndarray
    blind: int
    poll_gain: float
    reason: str
    interrupted: bool = False

    @property
    def point(self) -> Tensor:
        """The best feasible point (dim,); the incumbent if none was found."""
        return self.points[-1]

    @property
    def value(self) -> float:
        """The goal there."""
        return float(self.values[-1])

    @property
    def violation(self) -> float:
        """The violation there, 0 if it is feasible."""
        return float(self.violations[-1])

    @property
    def feasible(self) -> bool:
        """Whether a feasible point was found, or known from the start."""
        return self.violation == 0

    def cost(self, count: str = "batched") -> np.ndarray:
        """Evaluations so far (records,), "batched" or "opportunistic"; a gradient counts as 3 of them.

        Raises
        ------
        ValueError
            If the count is unknown.
        """
        check_choice("count", count, COUNTS)
        counted = self.evaluations if count == "batched" else self.opportunistic
        return counted + GRADIENT_COST * self.gradients

    def gains(self) -> dict[str, float]:
        """How much of the goal each stage gained between feasible points, by its name."""
        rises = np.diff(self.values)
        both = (self.violations[1:] == 0) & (self.violations[:-1] == 0)
        taken = np.array(self.stages[1:])
        return {stage: float(rises[both & (taken == stage)].sum()) for stage in STAGES}

    def trail(self, count: str = "batched") -> Trail:
        """Best feasible value against the cost, for :func:`data_profile`."""
        best = np.where(self.violations == 0, self.values, -np.inf)
        return Trail(self.problem, self.points.shape[1], self.cost(count), best)

    def frame(self) -> pd.DataFrame:
        """One row per record."""
        columns = {
            "stage": self.stages,
            "value": self.values,
            "violation": self.violations,
            "delta": self.delta,
            "radius": self.radius,
            "evaluations": self.evaluations,
            "opportunistic": self.opportunistic,
            "passes": self.passes,
            "gradients": self.gradients,
        }
        return pd.DataFrame(columns).rename_axis("step").reset_index()

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """The goal against the cost, the successes coloured by their stage; hollow where infeasible."""
        ax = new_axes(ax)
        cost = self.cost()
        ax.step(cost, self.values, where="post", color="0.6", linewidth=1)
        taken = np.array(self.stages)
        held = self.violations == 0
        for stage, color in _COLORS.items():
            for which, fill in ((held, color), (~held, "none")):
                shown = (taken == stage) & which
                if shown.any():
                    label = stage if fill != "none" else f"{stage}, infeasible"
                    ax.scatter(
                        cost[shown], self.values[shown], s=14, facecolors=fill, edgecolors=color, label=label,
                        zorder=3,
                    )  # fmt: skip
        ax.set_xlabel(f"evaluations, batched (a gradient counts as {GRADIENT_COST})")
        ax.set_ylabel("goal f(Φ(x))")
        ax.set_title(self.summary().splitlines()[0], fontsize="small")
        if len(set(self.stages)) > 1:
            ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """The value, its feasibility, why it ended, at which resolution, and the cost in all counts."""
        held = "feasible" if self.feasible else f"INFEASIBLE, violation {self.violation:.3g}"
        worth = f", best of the last failed poll {self.poll_gain:+.2g}" if self.poll_gain > -np.inf else ""
        blind = f", no direction in {self.blind} steps" if self.blind else ""
        return (
            f"{self.method} on {self.problem}: {self.value:.6g} ({held})\n"
            f"ended by {self.reason} after {len(self.stages) - 1} steps, Δ = {self.delta[-1]:.2g}{worth}\n"
            f"{self.evaluations[-1]} evaluations in {self.passes[-1]} forward passes, one at a time "
            f"{self.opportunistic[-1]}; {self.gradients[-1]} gradients{blind}"
        )
