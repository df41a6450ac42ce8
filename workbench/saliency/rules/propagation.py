"""One backward pass per target through a graph in which some nodes follow a rule of their own."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from workbench.saliency.capture import Captured

if TYPE_CHECKING:
    from workbench.saliency.rules.operations import Operations

Gradients = tuple[Tensor | None, ...]
# Of a node: what the true backward gives to its inputs, and what it got; returns what its inputs get instead.
Replacement = Callable[[Gradients, Gradients], Gradients]
# Of one forward pass, targets (N, T), the score, and the operations noted in the pass: pseudo-gradients
# (N, T, ...) by layer.
Rule = Callable[[Captured, Tensor, str, "Operations | None"], dict[str, Tensor]]


def propagate(
    outputs: Tensor,
    seeds: Sequence[Tensor],
    activations: Mapping[str, Tensor],
    replacements: Mapping[Any, Replacement],
) -> dict[str, Tensor]:
    """Pseudo-gradients (N, T, ...) at the activations, one backward pass for each of the T seeds.

    The rules hang on nodes of the graph during these passes only. The model, whose modules made the nodes, is
    not touched.

    Parameters
    ----------
    outputs : Tensor
        With the graph that leads to the activations; the graph is kept.
    seeds : sequence of Tensor, like ``outputs``
        What arrives at the outputs.
    activations : dict of Tensor (N, ...)
        Where the pseudo-gradients are wanted.
    replacements : dict
        By node of the graph; the other nodes keep the true backward.

    Raises
    ------
    ValueError
        If the outputs do not depend on an activation.
    """
    ends = list(activations.values())
    with _hooked(replacements):
        passes = [
            torch.autograd.grad(outputs, ends, seed, retain_graph=True, allow_unused=True) for seed in seeds
        ]
    return {
        name: _stack(name, parts) for name, parts in zip(activations, zip(*passes, strict=True), strict=True)
    }


def replaced(gradients: Gradients, value: Tensor, place: int = 0) -> Gradients:
    """The gradients with one of them replaced, in its shape and precision; None stays: nobody asks for it."""
    old = gradients[place]
    if old is None:
        return gradients
    return (*gradients[:place], value.reshape(old.shape).to(old.dtype), *gradients[place + 1 :])


def _stack(name: str, parts: Gradients) -> Tensor:
    tensors = [part for part in parts if part is not None]
    if len(tensors) < len(parts):
        raise ValueError(f"the outputs do not depend on layer {name!r}: name one that leads to them")
    return torch.stack(tensors, dim=1)


@contextmanager
def _hooked(replacements: Mapping[Any, Replacement]) -> Iterator[None]:
    handles = []
    try:
        for node, replacement in replacements.items():
            handles.append(node.register_hook(replacement))
        yield
    finally:
        for handle in handles:
            handle.remove()
