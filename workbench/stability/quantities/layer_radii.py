"""``LayerRadiiAhead``: which layer's singularity is the nearest along the step that was taken."""

import math
from typing import Any

import torch

from workbench.moment import Moment, Quantity, norm
from workbench.problem import Problem
from workbench.stability.layers import layer_radii


class LayerRadiiAhead(Quantity):
    """Distance of the nearest singularity of each layer along the update: :func:`layer_radii`.

    A part for each activation, normalisation, attention and the output, such as ``"1 (tanh)"``; the main
    number is the one that binds, kinks aside, and ``"r"`` the length of the update over it. The inputs of
    each layer are linearised; no distance is certified. inf, and r is 0, for a step that went nowhere. Cost:
    one forward-mode pass over the data, less than a gradient.

    Source: Sao, "Ghosts of Softmax" (arXiv 2603.13552), appendix 2; see :func:`layer_radii`.
    """

    name, cost = "layer_radii", 1.0

    def prepare(self, problem: Problem, optimizer: Any) -> None:
        """Refuse a problem whose outputs are no logits, and layers without a forward-mode derivative."""
        layer_radii(problem, torch.ones_like(problem.parameters_vector()), batches=1)

    def measure(self, moment: Moment) -> dict[str, float]:
        """Return the distance of each layer."""
        length = norm(moment.update)
        if length == 0:
            return {"": math.inf, "r": 0.0}
        found = layer_radii(moment.problem, moment.update)
        if found.interrupted:
            raise KeyboardInterrupt
        names = [
            f"{layer} ({kind})" if layer else kind
            for layer, kind in zip(found.layers, found.kinds, strict=True)
        ]
        least = float(found.least[found.binding])
        return {
            "": least,
            "r": length / least,
            **dict(zip(names, map(float, found.least), strict=True)),
        }
