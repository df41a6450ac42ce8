"""Integrated gradients: the gradient, averaged on the straight line from a baseline to the input."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from workbench.choices import check_choice, check_count
from workbench.colors import BLUE
from workbench.probes import refuse_training_mode
from workbench.progress import Advance, progress
from workbench.result import Result, new_axes
from workbench.saliency.baselines import baseline_inputs
from workbench.saliency.capture import INPUT, refuse_inference_model
from workbench.saliency.layer_inputs import gradients_at, layer_values, logits_of, read_inputs, scores_from
from workbench.saliency.scores import SCORES, read_targets, target_scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes

QUADRATURES = ("gauss_legendre", "left", "middle", "right")


@dataclasses.dataclass(frozen=True, repr=False)
class PathGradients(Result):
    r"""Integrated gradients of N inputs and T targets each.

    Attributes
    ----------
    layer : str
        Where the path runs.
    difference : Tensor (N, ...)
        Input (or activation) less baseline, :math:`x - x'`.
    mean_gradient : Tensor (N, T, ...)
        Mean of the gradient along the path.
    change : Tensor (N, T)
        What the attributions are to add up to: :math:`f(x) - f(x')`.
    targets : Tensor (N, T)
    score, quadrature, baseline : str
    steps : int
    forwards, backwards : int
        Passes over all inputs.
    """

    layer: str
    difference: Tensor
    mean_gradient: Tensor
    change: Tensor
    targets: Tensor
    score: str
    quadrature: str
    baseline: str
    steps: int
    forwards: int
    backwards: int

    @property
    def attributions(self) -> Tensor:
        """Contributions (N, T, ...), signed."""
        return self.difference[:, None] * self.mean_gradient

    @property
    def gap(self) -> Tensor:
        """Sum of the attributions less the change of the score (N, T): their error, signed."""
        return self.attributions.flatten(2).sum(dim=2, dtype=torch.float64) - self.change

    def frame(self) -> pd.DataFrame:
        """One row per input and target."""
        count, targets = self.change.shape
        columns = {
            "sample": torch.arange(count)[:, None].expand(count, targets),
            "target": self.targets,
            "change": self.change,
            "sum": self.change + self.gap,
            "gap": self.gap,
        }
        return pd.DataFrame({name: values.flatten().cpu().numpy() for name, values in columns.items()})

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Sum of the attributions against the change of the score; completeness is the diagonal."""
        ax = new_axes(ax)
        table = self.frame()
        ends = np.array([table[["change", "sum"]].min().min(), table[["change", "sum"]].max().max()])
        ax.plot(ends, ends, color="0.6", linestyle="--", label="complete")
        ax.plot(table["change"], table["sum"], "o", color=BLUE, label="inputs and targets")
        ax.set_xlabel(f"change of the {self.score} from the baseline")
        ax.set_ylabel("sum of the attributions")
        ax.set_title(self.summary().splitlines()[0], fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """How complete the attributions are, and the cost."""
        gap, change = self.gap.abs().max().item(), self.change.abs().max().item()
        return (
            f"integrated gradients at {self.layer!r} from baseline {self.baseline!r}: completeness gap at "
            f"most {gap:.3g}, where the {self.score} changes by at most {change:.3g}\n"
            f"{self.steps} steps ({self.quadrature}), {self.forwards} forward and {self.backwards} backward "
            f"passes over {len(self.targets)} inputs, for {self.targets.shape[1]} targets each"
        )


def integrated_gradients(
    model: nn.Module,
    inputs: Tensor,
    target: Any = None,
    *,
    baseline: str | Tensor = "zero",
    layer: str = INPUT,
    steps: int = 50,
    quadrature: str = "gauss_legendre",
    score: str = "logit",
    rows: int = 64,
) -> PathGradients:
    r"""Attribute the change of a score on the way from a baseline to the input.

    .. math:: (x - x') \odot \int_0^1 g(x' + a (x - x'))\,da

    Parameters
    ----------
    model : nn.Module
        Returns logits (N, classes); in eval mode. It is left as it was.
    inputs : Tensor (N, ...)
    target : None, int, N ints, or (N, T)
        None is the predicted class.
    baseline : {"zero", "mean", "blur"} or Tensor
        See ``baseline_inputs``.
    layer : str
        The path runs through the inputs, or through what this layer returns, from its value for the baseline
        to that for the input. What goes past the layer stays that of the input, and the gap tells of it.
    steps : int
        Points on the path.
    quadrature : {"gauss_legendre", "left", "middle", "right"}
        Gauss-Legendre, or a Riemann sum that takes this point of each step.
    score : {"logit", "probability", "loss"}
    rows : int
        At most so many inputs are in memory at once, with the graph of one forward pass.

    Raises
    ------
    ValueError
        If a name, shape, target or count is out of range, or the model is in train mode.
    TypeError
        If an argument is of another kind.

    Notes
    -----
    Cost: ``steps`` forward passes over the inputs, T times as many backward passes, and two forward passes
    for the change of the score; at a layer two more for the ends of the path.
    Memory: the attributions, and the graph of ``rows`` inputs.
    Source: Sundararajan, Taly, Yan, "Axiomatic attribution for deep networks", arXiv:1703.01365, equation 1.
    """
    refuse_training_mode(model)
    check_count("steps", steps)
    check_count("rows", rows)
    check_choice("quadrature", quadrature, QUADRATURES)
    check_choice("score", score, SCORES)
    with torch.inference_mode(False), torch.no_grad():
        inputs = read_inputs(inputs)
        refuse_inference_model(model)
        if layer == INPUT and not inputs.is_floating_point():
            raise ValueError(f"inputs are {inputs.dtype}, between which there is no path: name a later layer")
        start = baseline_inputs(inputs, baseline)
        logits = logits_of(model, inputs, rows)
        targets = read_targets(target, logits)
        change = target_scores(logits, targets, score) - target_scores(
            logits_of(model, start, rows), targets, score
        )
        differences, means = [], []
        with progress("integrated gradients", len(inputs) * steps) as advance:
            for chosen in torch.arange(len(inputs), device=inputs.device).split(rows):
                first = layer_values(model, start[chosen], layer)
                difference = layer_values(model, inputs[chosen], layer) - first
                path = _Path(model, inputs[chosen], layer, first, difference, targets[chosen], score)
                means.append(path.mean_gradient(*_quadrature(quadrature, steps), rows, advance))
                differences.append(difference)
    return PathGradients(
        layer=layer,
        difference=torch.cat(differences),
        mean_gradient=torch.cat(means),
        change=change,
        targets=targets,
        score=score,
        quadrature=quadrature,
        baseline=baseline if isinstance(baseline, str) else "given",
        steps=steps,
        forwards=steps + (2 if layer == INPUT else 4),
        backwards=steps * targets.shape[1],
    )


@dataclasses.dataclass(frozen=True)
class _Path:
    """The straight lines of a few inputs."""

    model: nn.Module
    inputs: Tensor
    layer: str
    first: Tensor
    difference: Tensor
    targets: Tensor
    score: str

    def mean_gradient(self, places: Tensor, weights: Tensor, rows: int, advance: Advance) -> Tensor:
        """Mean gradient (n, T, ...), with as many places at once as make up the rows."""
        count = len(self.inputs)
        precision = torch.promote_types(self.first.dtype, torch.float32)
        total = torch.zeros((), dtype=precision, device=self.first.device)
        together = max(1, rows // count)
        for some, of_them in zip(places.split(together), weights.split(together), strict=True):
            gradient = self._gradients(some.to(self.first)).to(precision)
            total = total + torch.tensordot(of_them.to(gradient), gradient, dims=1)
            advance(count * len(some))
        return total

    def _gradients(self, places: Tensor) -> Tensor:
        """Gradients (places, n, T, ...)."""
        steps = places.view(-1, *[1] * self.first.dim())
        points = (self.first + steps * self.difference).flatten(0, 1).requires_grad_()
        inputs, targets = (
            each.expand(len(places), *each.shape).flatten(0, 1) for each in (self.inputs, self.targets)
        )
        scores = scores_from(self.model, inputs, self.layer, points, targets, self.score)
        return gradients_at(scores, points).unflatten(0, (len(places), -1))


def _quadrature(kind: str, steps: int) -> tuple[Tensor, Tensor]:
    """Places in [0, 1] and their weights, which sum to 1."""
    if kind == "gauss_legendre":
        nodes, legendre = np.polynomial.legendre.leggauss(steps)
        return torch.from_numpy((1 + nodes) / 2), torch.from_numpy(legendre / 2)
    offset = {"left": 0.0, "middle": 0.5, "right": 1.0}[kind]
    places = (torch.arange(steps, dtype=torch.float64) + offset) / steps
    return places, torch.full((steps,), 1 / steps, dtype=torch.float64)
