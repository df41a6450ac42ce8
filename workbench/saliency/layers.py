"""Layers worth a look: the last ones before the resolution changes."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from workbench.hooks import of_this_thread
from workbench.saliency.capture import INPUT

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def default_layers(model: nn.Module, inputs: Tensor) -> tuple[str, ...]:
    """Names of the layers whose output is the last of its resolution, before it changes, in order.

    Found by one forward pass of the first input, whose modules are watched as they return (a block after the
    modules in it, so it is the block that is named). Layers that run more than once are passed over, and so
    are those of one location, and one of the name ``"input"``, which stands for the inputs.

    Raises
    ------
    ValueError
        If no layer returns (N, C, h, w).
    """
    once = _running_once(model, inputs)
    following = [size for _, size in once[1:]] + [()]
    return tuple(name for (name, size), after in zip(once, following, strict=True) if size != after)


def outer_layers(model: nn.Module, inputs: Tensor) -> tuple[str, ...]:
    """Names of the layers to choose from, in order: no part of a block, but those of a plain sequence.

    A block is a module other than a container that returns pictures; what is in it is left out, unless
    :func:`default_layers` names it. Two forward passes of the first input.

    Raises
    ------
    ValueError
        If no layer returns (N, C, h, w).
    """
    once = [name for name, _ in _running_once(model, inputs)]
    usual = default_layers(model, inputs)
    blocks = tuple(f"{name}." for name in once if not isinstance(model.get_submodule(name), _CONTAINERS))
    return tuple(name for name in once if name in usual or not name.startswith(blocks))


def _running_once(model: nn.Module, inputs: Tensor) -> list[tuple[str, tuple[int, ...]]]:
    """Name and size of the layers that return pictures of more than one location, once."""
    seen: list[tuple[str, tuple[int, ...]]] = []

    def watch(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, arguments: tuple[object, ...], output: object) -> None:
            if isinstance(output, Tensor) and output.dim() == 4 and output.shape[2:].numel() > 1:
                seen.append((name, tuple(output.shape[2:])))

        return hook

    handles = []
    try:
        for name, module in model.named_modules():
            if name and name != INPUT:
                handles.append(module.register_forward_hook(of_this_thread(watch(name))))
        with torch.inference_mode(False), torch.no_grad():
            model(inputs[:1].clone())
    finally:
        for handle in handles:
            handle.remove()
    names = [name for name, _ in seen]
    once = [(name, size) for name, size in seen if names.count(name) == 1]
    if not once:
        raise ValueError("no layer of the model returns (N, C, h, w): name layers= and pass an adapter")
    return once
