"""The layers of a problem: names, and where each stands in a flat vector."""

from collections.abc import Mapping

import torch
from torch import Tensor

from workbench.moment import norm
from workbench.problem import Problem


def layer_parameters(problem: Problem) -> dict[str, list[str]]:
    """Names of the selected parameters of each layer: ``"blocks.0.linear"`` has its weight and bias."""
    layers: dict[str, list[str]] = {}
    for part in problem.layout:
        layer, _, leaf = part.name.rpartition(".")
        layers.setdefault(layer or leaf, []).append(part.name)
    return layers


def layer_norms(problem: Problem, vector: Tensor) -> Mapping[str, float]:
    """Norm of each layer's part of a vector (n,)."""
    pieces = {part.name: vector[part.start : part.stop] for part in problem.layout}
    return {
        layer: norm(torch.cat([pieces[name] for name in names]))
        for layer, names in layer_parameters(problem).items()
    }
