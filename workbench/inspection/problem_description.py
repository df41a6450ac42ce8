"""``ProblemDescription``: data, model and how good it is, before anything is analysed."""

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from workbench.colors import BLUE
from workbench.inspection.layer_axis import layer_axis
from workbench.inspection.scores import Score, draw_classes
from workbench.result import Result, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True, repr=False)
class ProblemDescription(Result):
    """What a problem is made of, and its loss and metric.

    Attributes
    ----------
    name, model, loss : str
        Of the problem, of the model's class, and of the loss.
    dtype : str
        Of the selected parameters.
    examples, batches : int
        Of the data.
    inputs, outputs, targets : str
        Shapes and dtypes of their tensors in the first batch; what is not told apart from the targets counts
        as inputs.
    layers, kinds, shapes : tuple of str
        Names of the modules with parameters of their own, their classes, the shapes of these parameters.
    counts, selected : ndarray (L,) of int
        Parameters of each layer, and those of them that are analysed; the others are frozen, or were not
        selected. A parameter that several modules share belongs to the first.
    buffers : int
        Numbers in buffers, such as the statistics of BatchNorm.
    data : Score
        Loss and metric on the problem's data.
    held_out : Score, optional
        On the held-out data, if any was given.
    metrics : dict of str to float
        Figures that the problem itself carries, such as ``test_accuracy``, measured when it was made.
    chance : float
        Loss of the best output that does not look at the input (:func:`workbench.chance.chance_loss`); nan if
        that is left out.
    left_out : dict of str to str
        What is not there, and why.
    """

    name: str
    model: str
    loss: str
    dtype: str
    examples: int
    batches: int
    inputs: str
    outputs: str
    targets: str
    layers: tuple[str, ...]
    kinds: tuple[str, ...]
    shapes: tuple[str, ...]
    counts: np.ndarray
    selected: np.ndarray
    buffers: int
    data: Score
    held_out: Score | None
    metrics: dict[str, float]
    chance: float
    left_out: dict[str, str]

    @property
    def parameters(self) -> int:
        """All parameters of the model."""
        return int(self.counts.sum())

    @property
    def frozen(self) -> int:
        """Parameters that are not analysed."""
        return int((self.counts - self.selected).sum())

    @property
    def gradients(self) -> float:
        """What it cost, in gradients of three forward passes each."""
        return (1 + (self.held_out.examples / self.data.examples if self.held_out else 0)) / 3

    def frame(self) -> pd.DataFrame:
        """One row per layer."""
        return pd.DataFrame({
            "layer": self.layers, "kind": self.kinds, "shapes": self.shapes, "parameters": self.counts,
            "selected": self.selected,
        })  # fmt: skip

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Parameters by layer; those that are not analysed grey."""
        ax = new_axes(ax)
        places = layer_axis(ax, self.layers)
        ax.barh(places, self.selected, color=BLUE, label="analysed")
        if self.frozen:
            ax.barh(
                places, self.counts - self.selected, left=self.selected, color="0.7", label="not analysed"
            )
            ax.legend(fontsize="small")
        ax.set_xlabel("parameters")
        ax.set_title(self.summary().splitlines()[0], fontsize="small")
        return ax

    def plot_classes(self, ax: "Axes | None" = None) -> "Axes":
        """Share of each class in the targets, of the held-out data, too; nothing if there are no classes."""
        ax = new_axes(ax)
        scores = {"data": self.data}
        if self.held_out is not None:
            scores["held out"] = self.held_out
        draw_classes(ax, scores)
        if self.data.class_counts.any():
            ax.set_title(self.data.summary().splitlines()[1], fontsize="small")
        return ax

    def summary(self) -> str:
        """Model, data, loss and metric on all data there is, chance, and what is left out."""
        frozen = f", {self.frozen:,} of them not analysed" if self.frozen else ""
        batches = "1 batch" if self.batches == 1 else f"{self.batches} batches"
        layers = f"in {len(self.layers)} layers{frozen}"
        lines = [
            f"{self.model}: {self.parameters:,} parameters ({self.dtype}) {layers}",
            f"{self.loss} over {self.examples:,} examples in {batches}: {self.inputs} to {self.outputs}, "
            f"targets {self.targets}",
            f"on the data: {self.data.summary()}",
        ]
        if self.held_out is not None:
            lines.append(f"held out: {self.held_out.summary()}")
        elif self.metrics:
            figures = ", ".join(f"{name} {value:.4g}" for name, value in self.metrics.items())
            lines.append(f"the problem's own figures: {figures}")
        if math.isfinite(self.chance):
            lines.append(f"chance loss {self.chance:.4g}")
        lines += [f"{what}: {reason}" for what, reason in self.left_out.items()]
        return "\n".join([*lines, f"{self.gradients:.2g} gradients"])
