"""``TaylorRadiusAhead``: how far the Taylor series of the loss reaches along the step that was taken."""

import math
from typing import Any

from workbench.moment import Moment, Quantity, norm
from workbench.problem import Problem
from workbench.stability.radii import logit_radius
from workbench.stability.slopes import logits_and_slopes

KINDS = ("spread", "majority")


class TaylorRadiusAhead(Quantity):
    r"""Radius ρ within which the loss along the update, with linearised logits, is its Taylor series.

    The main number is the tighter certified bound (``kind="majority"``), the smallest over all examples; the
    part ``"spread"`` is the paper's :math:`\pi / \Delta_a`. Parts ``"r"`` and ``"r, spread"`` are the length
    of the update over each: a step with r < 1 stays within. Radii are inf, and r is 0, for a step that went
    nowhere. Cost: one product with the Jacobian, about a gradient.

    Source: Sao, "Ghosts of Softmax" (arXiv 2603.13552), equation 17 for r; the tighter bound derived here.
    """

    name, cost = "taylor_radius", 1.0

    def prepare(self, problem: Problem, optimizer: Any) -> None:
        """Refuse a problem whose outputs are no logits."""
        direction = problem.parameters_vector()
        next(iter(logits_and_slopes(problem, direction)))

    def measure(self, moment: Moment) -> dict[str, float]:
        """Return both radii and ratios."""
        length = norm(moment.update)
        radii = dict.fromkeys(KINDS, math.inf)
        if length > 0:
            direction = (moment.update.double() / length).to(moment.update.dtype)
            for logits, slopes in logits_and_slopes(moment.problem, direction):
                for kind in KINDS:
                    found = logit_radius(logits, slopes, kind=kind).radius.min().item()
                    radii[kind] = min(radii[kind], found)
        return {
            "": radii["majority"],
            "spread": radii["spread"],
            "r": length / radii["majority"],
            "r, spread": length / radii["spread"],
        }
