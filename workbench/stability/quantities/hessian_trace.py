"""``HessianTrace``: the sum of the eigenvalues of the Hessian."""

from workbench.curvature import CurvatureOperator, trace
from workbench.result import Estimate
from workbench.stability.quantities.probed_hessian import ProbedHessian


class HessianTrace(ProbedHessian):
    """Trace of the Hessian by Hutchinson's estimator, with its standard error."""

    name = "hessian_trace"

    def estimate(self, operator: CurvatureOperator, seed: int) -> Estimate:
        """Estimate it with ``self.probes`` products."""
        return trace(operator, max_matvecs=self.probes, seed=seed)
