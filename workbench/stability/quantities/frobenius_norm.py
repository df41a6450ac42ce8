"""``FrobeniusNorm``: the root of the sum of the squared eigenvalues of the Hessian."""

from typing import Any

from workbench.curvature import CurvatureOperator, frobenius_norm
from workbench.moment import Moment, Reading
from workbench.problem import Problem
from workbench.result import Estimate
from workbench.stability.quantities.curvature_of import PRODUCT, loss_hessian
from workbench.stability.quantities.layers import count_layers, layer_problems
from workbench.stability.quantities.probed_hessian import ProbedHessian


class FrobeniusNorm(ProbedHessian):
    """Frobenius norm of the Hessian from products with random vectors, with its standard error.

    By layer it takes ``probes`` products with the block of each layer, at the share of the pass that they
    need. What products of the whole Hessian tell of a block besides is lost in the noise of its neighbours.
    """

    name = "frobenius_norm"

    def prepare(self, problem: Problem, optimizer: Any) -> None:
        """Refuse a loss without second derivatives."""
        super().prepare(problem, optimizer)
        if self.by_layer:
            self.cost = PRODUCT * self.probes * count_layers(problem)

    def estimate(self, operator: CurvatureOperator, seed: int) -> Estimate:
        """Estimate it with ``self.probes`` products."""
        return frobenius_norm(operator, max_matvecs=self.probes, seed=seed)

    def measure_layers(self, moment: Moment, seed: int) -> dict[str, Reading]:
        """Estimate that of each layer's block, from products of its own."""
        return {
            layer: self.reading(loss_hessian(part), seed)
            for layer, part in layer_problems(moment.problem).items()
        }
