"""``ProbedHessian``: what the trace and the Frobenius norm of the Hessian share as recorded quantities."""

from typing import Any

from workbench.curvature import CurvatureOperator
from workbench.moment import Moment, Quantity, Reading
from workbench.problem import Problem
from workbench.result import Estimate
from workbench.stability.quantities.curvature_of import PRODUCT, check_hessian, loss_hessian


class ProbedHessian(Quantity):
    """A sum over the Hessian's spectrum from products with random vectors, with its standard error.

    Parameters
    ----------
    probes : int
        Products, each two gradients.
    seed : int
        Of the probes, which are others at each step.
    """

    def __init__(self, probes: int = 10, *, seed: int = 0) -> None:
        self.probes, self.seed = probes, seed
        self.cost = PRODUCT * probes

    def prepare(self, problem: Problem, optimizer: Any) -> None:
        """Refuse a loss without second derivatives."""
        check_hessian(problem)

    def measure(self, moment: Moment) -> Reading:
        """Return the estimate with its standard error."""
        found = self.estimate(moment.shared(loss_hessian), self.seed + moment.step)
        return Reading(found.value, found.stderr)

    def estimate(self, operator: CurvatureOperator, seed: int) -> Estimate:
        """Estimate the sum with ``self.probes`` products."""
        raise NotImplementedError
