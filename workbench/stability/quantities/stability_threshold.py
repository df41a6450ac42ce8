"""``StabilityThreshold``: the curvature above which the optimizer's steps on a quadratic grow."""

import math
from typing import Any

from workbench.moment import Moment, Quantity
from workbench.problem import Problem
from workbench.stability.thresholds import sharpness_threshold


class StabilityThreshold(Quantity):
    """:func:`sharpness_threshold` of the optimizer at its present learning rate. No gradient."""

    name, cost = "stability_threshold", 0.0

    def prepare(self, problem: Problem, optimizer: Any) -> None:
        """Refuse an optimizer whose threshold is not known."""
        sharpness_threshold(optimizer)

    def measure(self, moment: Moment) -> float:
        """Return the threshold; infinite at the end of a schedule, where the learning rate is 0."""
        if all(group["lr"] == 0 for group in moment.optimizer.param_groups):
            return math.inf
        return sharpness_threshold(moment.optimizer).value
