"""Quantities layer by layer: their names, and the parts of a flat vector."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from workbench.layout import layers_of
from workbench.moment import Quantity, Reading
from workbench.problem import Problem


class Layered(Quantity):
    """A quantity of the whole, or ``by_layer`` of each layer, which is then in its name.

    A layer is a module with parameters of its own, and its parts are named like it.

    Parameters
    ----------
    by_layer : bool
    """

    def __init__(self, by_layer: bool) -> None:
        self.by_layer = by_layer
        if by_layer:
            self.name = f"{self.name}_by_layer"


def layer_parts(problem: Problem, vector: Tensor) -> dict[str, Tensor]:
    """Each layer's part of a vector (n,), in the order in which the problem restricted to it has it."""
    pieces = {part.name: vector[part.start : part.stop] for part in problem.layout}
    return {
        layer: torch.cat([pieces[name] for name in names])
        for layer, names in layers_of(problem.layout).items()
    }


def layer_vectors(problem: Problem, vector: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Yield each layer and its part of a vector (n,), with zeros for all other layers."""
    for layer, entries in layer_parts(problem, torch.arange(len(vector), device=vector.device)).items():
        alone = torch.zeros_like(vector)
        alone[entries] = vector[entries]
        yield layer, alone


def layer_problems(problem: Problem) -> dict[str, Problem]:
    """The problem restricted to each of its layers: its Hessian is the diagonal block of the layer."""
    return {layer: problem.restrict(names) for layer, names in layers_of(problem.layout).items()}


def count_layers(problem: Problem) -> int:
    """How many layers have parameters."""
    return len(layers_of(problem.layout))


def named_by_layer(found: Mapping[str, Mapping[str, Reading]]) -> dict[str, Reading]:
    """Put the parts of all layers into one mapping: ``"0"`` has its main number, ``"0, noise"`` another.

    The whole, where it is not taken by layer, is a layer without a name.
    """
    return {
        ", ".join(filter(None, (layer, part))): reading
        for layer, readings in found.items()
        for part, reading in readings.items()
    }
