"""``Sharpness``: the largest eigenvalue of the Hessian."""

from typing import Any

from workbench.moment import Moment, Readings
from workbench.problem import Problem
from workbench.stability.quantities.curvature_of import (
    PRODUCT,
    PRODUCTS,
    TopEigenvalue,
    check_hessian,
    loss_hessian,
)
from workbench.stability.quantities.layers import Layered, count_layers, layer_problems


class Sharpness(Layered):
    """The largest eigenvalue of the Hessian over the problem's data, with its residual norm.

    The search starts near the eigenvector of the measurement before. About 13 products, each two gradients;
    by layer as many for the diagonal block of each layer, at the share of the pass that it needs.

    Parameters
    ----------
    by_layer : bool
        That of each layer's diagonal block instead; none of them exceeds that of the whole.
    tol : float
        Residual norm at most, relative to the eigenvalue, whose own error is about its square over the gap.
    seed : int
        Of the start vectors.
    """

    name, cost = "sharpness", PRODUCT * PRODUCTS

    def __init__(self, by_layer: bool = False, *, tol: float = 1e-2, seed: int = 0) -> None:
        super().__init__(by_layer)
        self.tol, self.seed = tol, seed

    def prepare(self, problem: Problem, optimizer: Any) -> None:
        """Refuse a loss without second derivatives."""
        check_hessian(problem)
        if self.by_layer:
            self.cost = PRODUCT * PRODUCTS * count_layers(problem)
        self._search = TopEigenvalue(self.tol, self.seed)

    def measure(self, moment: Moment) -> Readings:
        """Return the eigenvalue with its residual norm."""
        if not self.by_layer:
            return self._search.find(moment.shared(loss_hessian))
        return {
            layer: self._search.find(loss_hessian(part), layer)
            for layer, part in layer_problems(moment.problem).items()
        }
