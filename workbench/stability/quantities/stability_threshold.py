"""``StabilityThreshold``: the curvature above which the optimizer's steps on a quadratic grow."""

import math
from typing import Any

from workbench.moment import Moment, Quantity, innermost
from workbench.problem import Problem
from workbench.stability.controller import TaylorController
from workbench.stability.thresholds import sharpness_threshold


class StabilityThreshold(Quantity):
    """Curvature above which the optimizer's steps on a quadratic grow, at the learning rate of the step.

    See :func:`sharpness_threshold`. No gradient. It is the optimizer's, so no layer has one of its own. Of a
    controller it is that of the optimizer inside, for the steps that the controller leaves as they are:
    a shortened one is one at a smaller rate, which is not counted.
    """

    name, cost = "stability_threshold", 0.0

    def prepare(self, problem: Problem, optimizer: Any) -> None:
        """Refuse an optimizer whose threshold is not known."""
        if isinstance(optimizer, TaylorController) and optimizer.form == "ratio":
            raise ValueError(
                f"{self.name} is not known of a controller with form='ratio', whose steps do not have the "
                "length that the learning rate gives them: use 'sharpness' alone"
            )
        sharpness_threshold(innermost(optimizer))

    def measure(self, moment: Moment) -> float:
        """Return the threshold; infinite at the end of a schedule, where the learning rate is 0."""
        if all(group["lr"] == 0 for group in moment.optimizer.param_groups):
            return math.inf
        return sharpness_threshold(innermost(moment.optimizer)).value
