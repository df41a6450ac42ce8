"""``smoothness_along``: how the smoothness changes along a descent, as the gradient shrinks."""

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from workbench.choices import check_count
from workbench.colors import BLUE, ORANGE
from workbench.problem import Problem
from workbench.progress import progress
from workbench.result import Result, new_axes
from workbench.stability.smoothness.descents import Descent
from workbench.stability.smoothness.model_matrices import Matrix
from workbench.stability.smoothness.smoothness_radii import GradientSmoothness, gradient_smoothness

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True, repr=False)
class SmoothnessPath(Result):
    r"""Smoothness at several points of a descent.

    Where :math:`\gamma` stays as the gradient shrinks, the regularised Newton method falls at a linear rate,
    as in the region of steps for quasi-self-concordant functions such as the logistic loss. In a whole ball
    it shrinks with the root of the gradient near any minimum whose Hessian changes.

    Attributes
    ----------
    iterations : ndarray (points,) of int
    measured : tuple of GradientSmoothness
        At each of them: upper bounds.
    accepted : ndarray (points,)
        The radius of the step that the descent made from there; nan where there is none.
    interrupted : bool
        Whether points are missing.
    """

    iterations: np.ndarray
    measured: tuple[GradientSmoothness, ...]
    accepted: np.ndarray
    interrupted: bool = False

    @property
    def gradient_norms(self) -> np.ndarray:
        """Norm of the gradient at each point."""
        return np.array([each.gradient_norm for each in self.measured])

    @property
    def gammas(self) -> np.ndarray:
        """The bound at each point."""
        return np.array([each.gamma for each in self.measured])

    def exponent(self) -> tuple[float, float]:
        r"""The a of :math:`\gamma \propto \|g\|^a` by least squares, and half its 95 % interval.

        Nan with fewer than three points, or where a bound is at its cap.
        """
        if len(self.measured) < 3 or any(each.capped for each in self.measured):
            return math.nan, math.nan
        fit = stats.linregress(np.log(self.gradient_norms), np.log(self.gammas))
        return float(fit.slope), float(stats.t.ppf(0.975, len(self.measured) - 2) * fit.stderr)

    def frame(self) -> pd.DataFrame:
        """One row per point."""
        return pd.DataFrame(
            {
                "iteration": self.iterations,
                "gradient_norm": self.gradient_norms,
                "gamma": self.gammas,
                "accepted": self.accepted,
                "binding": [each.binding for each in self.measured],
            }
        )

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """The bound and the accepted radius against the norm of the gradient, which falls to the left."""
        ax = new_axes(ax)
        ax.loglog(self.gradient_norms, self.gammas, "o-", color=BLUE, label="γ, upper bound")
        ax.loglog(self.gradient_norms, self.accepted, "x", color=ORANGE, label="radius of the step made")
        ax.set_xlabel("norm of the gradient")
        ax.set_ylabel("radius")
        ax.set_title(self.summary().splitlines()[0], fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """The exponent, and the range of the bounds."""
        slope, half = self.exponent()
        note = ", INTERRUPTED before the other points" if self.interrupted else ""
        return (
            f"γ grows as ‖g‖^{slope:.2f} ± {half:.2g} (95 %), {len(self.measured)} points\n"
            f"γ ≤ {self.gammas.max():.3g} to {self.gammas.min():.3g} while the gradient falls from "
            f"{self.gradient_norms.max():.2g} to {self.gradient_norms.min():.2g}{note}"
        )


def smoothness_along(
    problem: Problem, descent: Descent, matrix: Matrix = "hessian", *, points: int = 6, **options: Any
) -> SmoothnessPath:
    """Estimate the smoothness at points of a descent, evenly spaced in the logarithm of the gradient's norm.

    Parameters
    ----------
    problem : Problem
        That of the descent.
    descent : Descent
    matrix : {"hessian", "ggn", "fisher", "low rank"} or callable
        As for :func:`gradient_smoothness`.
    points : int
        At most; two of them may be the same.
    **options
        Of :func:`gradient_smoothness`.

    Returns
    -------
    SmoothnessPath
        An interrupt (Ctrl-C) returns the points that are done.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Notes
    -----
    Cost: that of :func:`gradient_smoothness` at each point.
    """
    check_count("points", points)
    norms = np.log(descent.gradient_norms[descent.gradient_norms > 0])  # at a minimum there is no radius
    wanted = np.linspace(norms[0], norms[-1], points)
    places = np.unique([int(np.abs(norms - each).argmin()) for each in wanted])
    state = problem.model.state_dict()
    measured: list[GradientSmoothness] = []
    interrupted = False
    try:
        with progress("smoothness along a descent", len(places)) as advance:
            for place in places:
                moved = problem.at(state | problem.as_parameters(descent.points[place]))
                found = gradient_smoothness(moved, matrix, **options)
                if found.interrupted:
                    raise KeyboardInterrupt
                measured.append(found)
                advance(1)
    except KeyboardInterrupt:
        if not measured:
            raise
        interrupted = True
    places = places[: len(measured)]
    accepted = np.append(descent.radii[1:], np.nan)[places]
    return SmoothnessPath(places, tuple(measured), accepted, interrupted)
