"""What is asked of a model: the class of each input, checked once, and maps of it."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from workbench.probes import refuse_training_mode
from workbench.saliency.explainers import MapFunction
from workbench.saliency.scores import read_targets

_ROWS = 64  # inputs that go forward together where only their classes are asked for


def fixed_targets(model: nn.Module, inputs: Tensor, targets: Any) -> Tensor:
    """Return the class of each input (N,): as given, the same for all, or the predicted one for None.

    Raises
    ------
    ValueError
        If the inputs are no images, the model is in training mode or returns no logits (N, classes), or there
        is not one class that exists for each input.
    TypeError
        If the inputs are no tensor, or the targets no whole numbers.
    """
    if not isinstance(inputs, Tensor):
        raise TypeError(f"inputs is a {type(inputs).__name__}: pass a tensor (N, C, H, W)")
    if inputs.ndim != 4 or not len(inputs):
        raise ValueError(
            f"inputs have shape {tuple(inputs.shape)}: they must be (N, C, H, W) with N at least 1"
        )
    refuse_training_mode(model)
    with torch.no_grad():
        if targets is None:
            return torch.cat([read_targets(None, model(part))[:, 0] for part in inputs.split(_ROWS)])
        logits = model(inputs[:1])
        found = read_targets(targets, logits.expand(len(inputs), -1) if logits.dim() == 2 else logits)
    if found.shape[1] != 1:
        raise ValueError(f"targets have shape {tuple(found.shape)}: a metric takes one class for each input")
    return found[:, 0]


def check_maps(maps: Tensor, inputs: Tensor) -> None:
    """Refuse maps that do not fit the inputs.

    Raises
    ------
    ValueError
        If they are not (N, H, W).
    TypeError
        If they are no tensor.
    """
    if not isinstance(maps, Tensor):
        raise TypeError(f"maps is a {type(maps).__name__}: pass a tensor (N, H, W)")
    expected = (len(inputs), *inputs.shape[2:])
    if tuple(maps.shape) != expected:
        raise ValueError(f"maps have shape {tuple(maps.shape)}, not {expected} as the inputs (N, H, W)")


def make_maps(
    map_function: MapFunction, model: nn.Module, inputs: Tensor, targets: Tensor, rows: int
) -> Tensor:
    """Maps (N, H, W) of all inputs, so many at once.

    Raises
    ------
    ValueError
        If the function returns other shapes.
    """
    parts = []
    for part, classes in zip(inputs.split(rows), targets.split(rows), strict=True):
        parts.append(map_function(model, part, classes).detach())
        check_maps(parts[-1], part)
    return torch.cat(parts)


def ordered_curves(curves: Tensor, maps: Tensor) -> np.ndarray:
    """Curves (done, s) along the orders of the first maps; nan for a constant map, which has none."""
    constant = constant_maps(maps[: len(curves)]).to(curves.device)
    return torch.where(constant[:, None], torch.nan, curves).numpy()


def constant_maps(maps: Tensor) -> Tensor:
    """Which maps (N, H, W) have no structure: equal everywhere up to rounding, or not finite; bool (N,)."""
    flat = maps.flatten(1)
    spread = flat.amax(1) - flat.amin(1)
    rounding = 64 * torch.finfo(maps.dtype).eps * flat.abs().amax(1)
    return ~flat.isfinite().all(1) | (spread <= rounding)
