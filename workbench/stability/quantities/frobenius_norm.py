"""``FrobeniusNorm``: the root of the sum of the squared eigenvalues of the Hessian."""

from workbench.curvature import CurvatureOperator, frobenius_norm
from workbench.result import Estimate
from workbench.stability.quantities.probed_hessian import ProbedHessian


class FrobeniusNorm(ProbedHessian):
    """Frobenius norm of the Hessian from products with random vectors, with its standard error."""

    name = "frobenius_norm"

    def estimate(self, operator: CurvatureOperator, seed: int) -> Estimate:
        """Estimate it with ``self.probes`` products."""
        return frobenius_norm(operator, max_matvecs=self.probes, seed=seed)
