"""``counterfactual_path``: an image on its way to another class, by attacks and without."""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from workbench.colors import BLUE, ORANGE, VERMILION
from workbench.particles.attacks.counterfactuals import counterfactual
from workbench.particles.attacks.search_path import SearchPath
from workbench.particles.attacks.searches import direct_search
from workbench.particles.objectives import GRADIENT_COST
from workbench.problem import Problem
from workbench.result import Result, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True, repr=False)
class CounterfactualPath(Result):
    """Two searches for the same counterfactual.

    Attributes
    ----------
    path, alone : SearchPath
        The hybrid, and the direct search by itself with the same seed and budget.
    probabilities, probabilities_alone : Tensor (records, classes)
        Of the classifier along both.
    example, target, before : int
        Which input, the class to be reached, and the class that the classifier takes the input for.
    shape : tuple of int
        Rows and columns of the image; channels lie below each other.
    """

    path: SearchPath
    alone: SearchPath
    probabilities: Tensor
    probabilities_alone: Tensor
    example: int
    target: int
    before: int
    shape: tuple[int, int]

    @property
    def images(self) -> np.ndarray:
        """The image at each record (records, rows, columns)."""
        return self.path.points.reshape(-1, *self.shape).numpy()

    @property
    def distances(self) -> np.ndarray:
        """Euclidean distance from the original (records,)."""
        return torch.linalg.vector_norm(self.path.points - self.path.points[0], dim=1).numpy()

    def crossing(self) -> tuple[int | None, int | None]:
        """Cost at which the target is first the likeliest class, of the hybrid and of the direct search."""
        pairs = ((self.path, self.probabilities), (self.alone, self.probabilities_alone))
        first, second = (_first(path.cost(), shares.argmax(1) == self.target) for path, shares in pairs)
        return first, second

    def frame(self) -> pd.DataFrame:
        """One row per record of the hybrid: the search, the distance, and the probability of each class."""
        shares = pd.DataFrame(self.probabilities.numpy()).add_prefix("p_")
        return pd.concat([self.path.frame(), shares], axis=1).assign(distance=self.distances)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Up to five images on the way, evenly spaced in distance, and the whole change at the right."""
        ax = new_axes(ax)
        wanted = np.linspace(0, self.distances[-1], 5)
        records = sorted({int(np.abs(self.distances - distance).argmin()) for distance in wanted})
        change = self.images[-1] - self.images[0]
        largest = max(float(np.abs(change).max()), 1e-12)
        width = self.shape[1] + 1
        for column, record in enumerate(records):
            ax.imshow(self.images[record], cmap="gray", vmin=0, vmax=1, extent=self._extent(column))
            share = float(self.probabilities[record, self.target])
            told = f"p({self.target}) = {share:.2g}\ndistance {self.distances[record]:.2f}"
            ax.text(column * width + self.shape[1] / 2, -0.4, told, ha="center", va="top", fontsize="small")
        ax.imshow(change, cmap="RdBu_r", vmin=-largest, vmax=largest, extent=self._extent(len(records)))
        told = f"change\n± {largest:.2f}"
        ax.text(len(records) * width + self.shape[1] / 2, -0.4, told, ha="center", va="top", fontsize="small")
        ax.set_xlim(0, (len(records) + 1) * width - 1)
        ax.set_ylim(-3.2, self.shape[0])
        ax.set_axis_off()
        ax.set_title(self.summary().splitlines()[0], fontsize="small")
        return ax

    def plot_probability(self, ax: "Axes | None" = None) -> "Axes":
        """Probabilities of the target and of the class before, against the cost."""
        ax = new_axes(ax)
        cost, cost_alone = self.path.cost(), self.alone.cost()
        ax.step(cost, self.probabilities[:, self.target], where="post", color=VERMILION,
                label=f"class {self.target}, {self.path.method}")  # fmt: skip
        ax.step(cost_alone, self.probabilities_alone[:, self.target], where="post", color=BLUE,
                label=f"class {self.target}, {self.alone.method}")  # fmt: skip
        if self.before != self.target:
            ax.step(cost, self.probabilities[:, self.before], where="post", color=ORANGE, linestyle="--",
                    label=f"class {self.before}, {self.path.method}")  # fmt: skip
        ax.set_xscale("log")
        ax.set_ylim(-0.03, 1.03)
        ax.set_xlabel(f"evaluations, batched (a gradient counts as {GRADIENT_COST})")
        ax.set_ylabel("probability")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """The probability before and after, the distance, and when each search got there."""
        start, end = self.probabilities[[0, -1], self.target].tolist()
        ours, theirs = ("never" if cost is None else f"after {cost}" for cost in self.crossing())
        return (
            f"example {self.example}, taken for {self.before}: p({self.target}) from {start:.2g} to "
            f"{end:.3g} at distance {self.distances[-1]:.3g}\n"
            f"class {self.target} is the likeliest {ours} evaluations by the {self.path.method}, {theirs} by "
            f"the {self.alone.method}\n"
            f"goal {self.path.value:.5g} and {self.alone.value:.5g} at the end of {self.path.cost()[-1]} and "
            f"{self.alone.cost()[-1]} evaluations"
        )

    def _extent(self, column: int) -> tuple[float, float, float, float]:
        left = column * (self.shape[1] + 1)
        return left, left + self.shape[1], 0, self.shape[0]


def counterfactual_path(
    problem: Problem,
    example: int = 0,
    target: int = 8,
    attack: str = "l2",
    *,
    weight: float = 0.5,
    evaluations: int = 20_000,
    seed: int = 0,
) -> CounterfactualPath:
    """Search for an image of another class near an example, with attacks and without.

    Parameters
    ----------
    problem, example, target, weight
        As for :func:`counterfactual`.
    attack, evaluations, seed
        As for :func:`direct_search`; the budget is that of each of the two searches.

    Raises
    ------
    ValueError
        If a value is out of range or unknown.
    KeyboardInterrupt
        If the first search is interrupted; the second one returns its path so far.
    """
    surrogate = counterfactual(problem, example, target, weight=weight)
    path = direct_search(surrogate, attack, evaluations=evaluations, seed=seed)
    if path.interrupted:
        raise KeyboardInterrupt
    alone = direct_search(surrogate, None, evaluations=evaluations, seed=seed)
    (inputs, *_), _ = next(problem.batches())
    columns = inputs.shape[-1]
    with torch.no_grad():
        outputs, outputs_alone = surrogate.network(path.points), surrogate.network(alone.points)
    classes = outputs.shape[1] - surrogate.dim
    shares, shares_alone = outputs[:, :classes].exp(), outputs_alone[:, :classes].exp()
    return CounterfactualPath(
        path=path,
        alone=alone,
        probabilities=shares,
        probabilities_alone=shares_alone,
        example=example,
        target=target,
        before=int(shares[0].argmax()),
        shape=(surrogate.dim // columns, columns),
    )


def _first(cost: np.ndarray, reached: Tensor) -> int | None:
    return int(cost[int(reached.int().argmax())]) if reached.any() else None
