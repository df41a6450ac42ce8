"""``ProbedHessian``: what the trace and the Frobenius norm of the Hessian share as recorded quantities."""

from typing import Any

from workbench.choices import check_count
from workbench.curvature import CurvatureOperator
from workbench.moment import Moment, Reading, Readings
from workbench.problem import Problem
from workbench.result import Estimate
from workbench.stability.quantities.curvature_of import PRODUCT, check_hessian, loss_hessian
from workbench.stability.quantities.layers import Layered


class ProbedHessian(Layered):
    """A sum over the Hessian's spectrum from products with random vectors, with its standard error.

    Parameters
    ----------
    probes : int
        Products, each two gradients.
    by_layer : bool
        That of each layer's diagonal block instead.
    seed : int
        Of the probes, which are others at each step.
    """

    def __init__(self, probes: int = 10, by_layer: bool = False, *, seed: int = 0) -> None:
        super().__init__(by_layer)
        check_count(f"{self.name}: probes", probes)
        self.probes, self.seed = probes, seed
        self.cost = PRODUCT * probes

    def prepare(self, problem: Problem, optimizer: Any) -> None:
        """Refuse a loss without second derivatives."""
        check_hessian(problem)

    def measure(self, moment: Moment) -> Readings:
        """Return the estimate with its standard error."""
        seed = self.seed + moment.step
        if self.by_layer:
            return self.measure_layers(moment, seed)
        return self.reading(moment.shared(loss_hessian), seed)

    def reading(self, operator: CurvatureOperator, seed: int) -> Reading:
        """Estimate the sum of one matrix; an interrupt (Ctrl-C) is passed on to the training."""
        found = self.estimate(operator, seed)
        if not found.converged:  # where no tolerance was asked for, only an interrupt says so
            raise KeyboardInterrupt
        return Reading(found.value, found.stderr)

    def estimate(self, operator: CurvatureOperator, seed: int) -> Estimate:
        """Estimate the sum with ``self.probes`` products."""
        raise NotImplementedError

    def measure_layers(self, moment: Moment, seed: int) -> dict[str, Reading]:
        """Estimate the sum of each layer's block."""
        raise NotImplementedError
