"""``Descent``: how a method went down, and what each of its steps cost."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from workbench.colors import BLUE, ORANGE
from workbench.problem import Problem
from workbench.progress import progress
from workbench.result import Result, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PRODUCT = 2.0  # what a product with the matrix is taken to cost, in gradients


@dataclasses.dataclass(frozen=True, repr=False)
class Descent(Result):
    """The path of one method.

    Attributes
    ----------
    method : str
    points : Tensor (iterations + 1, n)
        The parameters, the start first.
    losses, gradient_norms : ndarray (iterations + 1,)
    steps : ndarray (iterations + 1,)
        Length of the step to each point; 0 at the start.
    radii : ndarray (iterations + 1,)
        The radius with which a step was accepted, which bounds its length where the matrix is positive
        semidefinite; nan for methods that have none.
    gradients, products : ndarray (iterations + 1,) of int
        Points at which loss and gradient were computed, and products with the matrix, up to here.
    reason : str
        Why it ended: ``"gradient"`` (small enough), ``"iterations"``, ``"stalled"`` (no step was accepted) or
        ``"interrupted"``.
    """

    method: str
    points: Tensor
    losses: np.ndarray
    gradient_norms: np.ndarray
    steps: np.ndarray
    radii: np.ndarray
    gradients: np.ndarray
    products: np.ndarray
    reason: str

    @property
    def iterations(self) -> int:
        """Steps made."""
        return len(self.losses) - 1

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended it."""
        return self.reason == "interrupted"

    @property
    def work(self) -> np.ndarray:
        """Cost up to each point in gradients, a product counted as two."""
        return self.gradients + PRODUCT * self.products

    def iterations_to(self, loss: float) -> float:
        """Steps until the loss is at most this; inf if it never is."""
        below = np.flatnonzero(self.losses <= loss)
        return float(below[0]) if len(below) else np.inf

    def work_to(self, loss: float) -> float:
        """Cost in gradients until the loss is at most this; inf if it never is."""
        below = self.iterations_to(loss)
        return float(self.work[int(below)]) if np.isfinite(below) else np.inf

    def frame(self) -> pd.DataFrame:
        """One row per point."""
        return pd.DataFrame(
            {
                "iteration": range(len(self.losses)),
                "loss": self.losses,
                "gradient_norm": self.gradient_norms,
                "step": self.steps,
                "radius": self.radii,
                "gradients": self.gradients,
                "products": self.products,
            }
        )

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Norm of the gradient and radius against the iteration."""
        ax = new_axes(ax)
        ax.semilogy(self.gradient_norms, ".-", color=BLUE, label="norm of the gradient")
        if np.isfinite(self.radii[1:]).any():
            ax.semilogy(self.radii, ".-", color=ORANGE, label="radius γ of the step")
            ax.semilogy(range(1, len(self.steps)), self.steps[1:], "x", color=ORANGE, label="its length")
        ax.set_xlabel("iteration")
        ax.set_title(self.summary(), fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """Where it ended, why, and the cost."""
        return (
            f"{self.method}: loss {self.losses[0]:.4g} to {self.losses[-1]:.6g}, gradient "
            f"{self.gradient_norms[-1]:.2g} after {self.iterations} iterations, {self.gradients[-1]} "
            f"gradients and {self.products[-1]} products (ended by: {self.reason})"
        )


@dataclasses.dataclass(frozen=True)
class Point:
    """Parameters with what was computed there."""

    theta: Tensor
    loss: float
    gradient: Tensor
    size: float


class Trail:
    """Keeps the points of a run in float64 and counts what they cost.

    Parameters
    ----------
    problem : Problem
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem.to(dtype=torch.float64)
        self.gradients = 0
        self.products = 0
        self._points: list[Point] = []
        self._rows: list[tuple[float, float, int, int]] = []

    def evaluate(self, theta: Tensor) -> Point:
        """Loss and gradient at a point."""
        self.gradients += 1
        gradient = self.problem.gradient(theta)
        return Point(theta, self.problem.loss_at(theta), gradient, float(gradient.norm()))

    def problem_at(self, point: Point) -> Problem:
        """The problem with its parameters there."""
        state = self.problem.model.state_dict() | self.problem.as_parameters(point.theta)
        return self.problem.at(state)

    @property
    def last(self) -> Point:
        """Where the run is."""
        return self._points[-1]

    def append(self, point: Point, radius: float = np.nan) -> None:
        """Go to a point."""
        step = float((point.theta - self._points[-1].theta).norm()) if self._points else 0.0
        self._points.append(point)
        self._rows.append((step, radius, self.gradients, self.products))

    def descend(
        self, method: str, step: Callable[[Point], tuple[Point, float] | None], iterations: int, tol: float
    ) -> Descent:
        """Step from the problem's parameters until the gradient is small enough.

        Parameters
        ----------
        method : str
        step : callable
            Returns the next point and the radius with which it was accepted; None if none is.
        iterations, tol
            See :func:`~.newton_descents.regularised_newton`.
        """
        self.append(self.evaluate(self.problem.parameters_vector()))
        enough = tol * self.last.size
        reason = "iterations"
        try:
            with progress(method, iterations) as advance:
                while self.last.size > enough and len(self._points) <= iterations:
                    if (found := step(self.last)) is None:
                        reason = "stalled"
                        break
                    self.append(*found)
                    advance(1, f"loss {self.last.loss:.4g}")
        except KeyboardInterrupt:
            reason = "interrupted"
        return self.descent(method, "gradient" if self.last.size <= enough else reason)

    def descent(self, method: str, reason: str) -> Descent:
        """The path so far."""
        steps, radii, gradients, products = (np.array(column) for column in zip(*self._rows, strict=True))
        return Descent(
            method,
            torch.stack([point.theta for point in self._points]),
            np.array([point.loss for point in self._points]),
            np.array([point.size for point in self._points]),
            steps,
            radii,
            gradients,
            products,
            reason,
        )
