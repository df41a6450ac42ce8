"""``GradientCurvature``: the curvature along the gradient."""

import math
from typing import Any

from workbench.moment import Moment, Quantity
from workbench.problem import Problem
from workbench.stability.quantities.curvature_of import PRODUCT, check_hessian, loss_hessian


class GradientCurvature(Quantity):
    r"""Curvature :math:`g^\top H g / \|g\|^2` along the gradient of the loss over the problem's data.

    A step of gradient descent lowers the quadratic model of the loss as long as it is below
    :math:`2 / \eta`. nan where the gradient is 0. One gradient and one product.
    """

    name, cost = "gradient_curvature", 1 + PRODUCT

    def prepare(self, problem: Problem, optimizer: Any) -> None:
        """Refuse a loss without second derivatives."""
        check_hessian(problem)

    def measure(self, moment: Moment) -> float:
        """Return the curvature."""
        gradient = moment.gradient
        length = gradient.double().norm()
        if length == 0:
            return math.nan
        direction = (gradient.double() / length).to(gradient.dtype)
        return (direction.double() @ (moment.shared(loss_hessian) @ direction).double()).item()
