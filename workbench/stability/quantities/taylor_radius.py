"""``TaylorRadiusAhead``: how far the Taylor series of the loss reaches along the step that was taken."""

import math
from typing import Any

from torch import Tensor

from workbench.moment import Moment, Reading, norm
from workbench.problem import Problem
from workbench.stability.quantities.layers import (
    Layered,
    count_layers,
    layer_parts,
    layer_problems,
    named_by_layer,
)
from workbench.stability.radii import logit_radius
from workbench.stability.slopes import logits_and_slopes

KINDS = ("spread", "majority")


class TaylorRadiusAhead(Layered):
    r"""Radius ρ within which the loss along the update, with linearised logits, is its Taylor series.

    The main number is the tighter certified bound (``kind="majority"``), the smallest over all examples; the
    part ``"spread"`` is the paper's :math:`\pi / \Delta_a`. Parts ``"r"`` and ``"r, spread"`` are the length
    of the update over each: a step with r < 1 stays within. Radii are inf, and r is 0, for a step that went
    nowhere. Cost: one product with the Jacobian, about a gradient.

    Source: Sao, "Ghosts of Softmax" (arXiv 2603.13552), equation 17 for r; the tighter bound derived here.

    Parameters
    ----------
    by_layer : bool
        The same of each layer's part of the update alone, as if the others had not moved; a product with the
        Jacobian for each. Slopes add up over the layers, so the ``"r, spread"`` of all of them add up to that
        of the whole at least.
    """

    name, cost = "taylor_radius", 1.0

    def __init__(self, by_layer: bool = False) -> None:
        super().__init__(by_layer)

    def prepare(self, problem: Problem, optimizer: Any) -> None:
        """Refuse a problem whose outputs are no logits."""
        next(iter(logits_and_slopes(problem, problem.parameters_vector())))
        if self.by_layer:
            self.cost = float(count_layers(problem))

    def measure(self, moment: Moment) -> dict[str, Reading]:
        """Return both radii and ratios."""
        if not self.by_layer:
            return radii_ahead(moment.problem, moment.update)
        parts = layer_parts(moment.problem, moment.update)
        problems = layer_problems(moment.problem)
        return named_by_layer({layer: radii_ahead(problems[layer], parts[layer]) for layer in problems})


def radii_ahead(problem: Problem, update: Tensor) -> dict[str, Reading]:
    """Both bounds along an update (n,), and its length over each."""
    radii = dict.fromkeys(KINDS, math.inf)
    length = norm(update)
    if length > 0:
        direction = (update.double() / length).to(update.dtype)
        for logits, slopes in logits_and_slopes(problem, direction):
            for kind in KINDS:
                found = logit_radius(logits, slopes, kind=kind).radius.min().item()
                radii[kind] = min(radii[kind], found)
    return {
        "": Reading(radii["majority"]),
        "spread": Reading(radii["spread"]),
        "r": Reading(length / radii["majority"]),
        "r, spread": Reading(length / radii["spread"]),
    }
