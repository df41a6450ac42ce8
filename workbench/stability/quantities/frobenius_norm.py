"""``FrobeniusNorm``: the root of the sum of the squared eigenvalues of the Hessian."""

from typing import Any

from workbench.curvature import frobenius_norm
from workbench.moment import Moment, Quantity, Reading
from workbench.problem import Problem
from workbench.stability.quantities.curvature_of import PRODUCT, check_hessian, loss_hessian


class FrobeniusNorm(Quantity):
    """Frobenius norm of the Hessian from products with random vectors, with its standard error.

    Parameters
    ----------
    probes : int
        Products, each two gradients.
    seed : int
        Of the probes, which are others at each step.
    """

    name = "frobenius_norm"

    def __init__(self, probes: int = 10, *, seed: int = 0) -> None:
        self.probes, self.seed = probes, seed
        self.cost = PRODUCT * probes

    def prepare(self, problem: Problem, optimizer: Any) -> None:
        """Refuse a loss without second derivatives."""
        check_hessian(problem)

    def measure(self, moment: Moment) -> Reading:
        """Return the estimate with its standard error."""
        operator = moment.shared(loss_hessian)
        found = frobenius_norm(operator, max_matvecs=self.probes, seed=self.seed + moment.step)
        return Reading(found.value, found.stderr)
