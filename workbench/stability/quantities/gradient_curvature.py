"""``GradientCurvature``: the curvature along the gradient."""

import math
from typing import Any

from torch import Tensor

from workbench.curvature import CurvatureOperator
from workbench.moment import Moment, Readings
from workbench.problem import Problem
from workbench.stability.quantities.curvature_of import PRODUCT, check_hessian, loss_hessian
from workbench.stability.quantities.layers import Layered, count_layers, layer_vectors


class GradientCurvature(Layered):
    r"""Curvature along the gradient of the loss over the problem's data.

    A step of gradient descent lowers the quadratic model of the loss as long as :math:`g^\top H g / \|g\|^2`
    is below :math:`2 / \eta`. nan where the gradient is 0. One gradient and one product.

    Parameters
    ----------
    by_layer : bool
        That of each layer's diagonal block along its part of the gradient instead, as a step of that layer
        alone meets it. A product for each layer: a single one of the whole gradient has what the layers do to
        each other in it.
    """

    name, cost = "gradient_curvature", 1 + PRODUCT

    def __init__(self, by_layer: bool = False) -> None:
        super().__init__(by_layer)

    def prepare(self, problem: Problem, optimizer: Any) -> None:
        """Refuse a loss without second derivatives."""
        check_hessian(problem)
        if self.by_layer:
            self.cost = 1 + PRODUCT * count_layers(problem)

    def measure(self, moment: Moment) -> Readings:
        """Return the curvature."""
        operator, gradient = moment.shared(loss_hessian), moment.gradient
        if not self.by_layer:
            return curvature_along(gradient, operator)
        parts = layer_vectors(moment.problem, gradient)
        return {layer: curvature_along(part, operator) for layer, part in parts}


def curvature_along(vector: Tensor, operator: CurvatureOperator) -> float:
    """Curvature v'Av / v'v along a vector (n,), by one product; nan along 0."""
    length = vector.double().norm()
    if length == 0:
        return math.nan
    direction = (vector.double() / length).to(vector.dtype)
    return (direction.double() @ (operator @ direction).double()).item()
