"""Gradients averaged over many forward passes, as ``explain`` takes them: by name, with usual options."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn

from workbench.saliency.layer_inputs import layer_values
from workbench.saliency.noisy_gradients import smooth_gradients
from workbench.saliency.path_gradients import integrated_gradients


class AveragedGradient(NamedTuple):
    """What a method takes at one layer.

    Attributes
    ----------
    x : Tensor (N, ...)
        Activation, or its difference to the baseline's.
    gradient : Tensor (N, T, ...)
    forwards : int
        Passes over the inputs; T times as many went backward.
    """

    x: Tensor
    gradient: Tensor
    forwards: int


def _along_path(
    model: nn.Module, inputs: Tensor, targets: Tensor, layer: str, score: str
) -> AveragedGradient:
    found = integrated_gradients(model, inputs, targets, layer=layer, score=score)
    return AveragedGradient(found.difference, found.mean_gradient, found.steps)


def _over_noise(
    model: nn.Module, inputs: Tensor, targets: Tensor, layer: str, score: str
) -> AveragedGradient:
    found = smooth_gradients(model, inputs, targets, layer=layer, score=score)
    return AveragedGradient(layer_values(model, inputs, layer), found.mean, found.samples)


# Of a model, inputs, targets (N, T), a layer and the score; other options are as usual.
AVERAGES: dict[str, Callable[[nn.Module, Tensor, Tensor, str, str], AveragedGradient]] = {
    "integrated_gradients": _along_path,
    "smooth_grad": _over_noise,
}
