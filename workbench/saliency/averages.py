"""Gradients averaged over many forward passes, as ``explain`` takes them: by name, with usual options."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn

from workbench.saliency.capture import INPUT
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
    forwards, backwards : int
        Passes over the inputs.
    note : str
        How good the average is.
    """

    x: Tensor
    gradient: Tensor
    forwards: int
    backwards: int
    note: str


def _along_path(
    model: nn.Module, inputs: Tensor, targets: Tensor, layer: str, score: str
) -> AveragedGradient:
    found = integrated_gradients(model, inputs, targets, layer=layer, score=score)
    gap, change = found.gap.abs().max().item(), found.change.abs().max().item()
    note = (
        f"{found.steps} steps from baseline {found.baseline!r}, completeness gap at most {gap:.3g}, where "
        f"the {score} changes by at most {change:.3g}"
    )
    return AveragedGradient(found.difference, found.mean_gradient, found.forwards, found.backwards, note)


def _over_noise(
    model: nn.Module, inputs: Tensor, targets: Tensor, layer: str, score: str
) -> AveragedGradient:
    found = smooth_gradients(model, inputs, targets, layer=layer, score=score)
    note = (
        f"{found.samples} noisy copies, mean of the maps {found.map.mean().item():.3g}, their standard error "
        f"{found.map_stderr.mean().item():.2g}"
    ) + (", INTERRUPTED before the rest" if found.interrupted else "")
    forwards = found.samples + 1 + (layer != INPUT)  # one for the classes, and one for x
    backwards = found.samples * targets.shape[1]
    return AveragedGradient(layer_values(model, inputs, layer), found.mean, forwards, backwards, note)


# Of a model, inputs, targets (N, T), a layer and the score; other options are as usual.
AVERAGES: dict[str, Callable[[nn.Module, Tensor, Tensor, str, str], AveragedGradient]] = {
    "integrated_gradients": _along_path,
    "smooth_grad": _over_noise,
}
