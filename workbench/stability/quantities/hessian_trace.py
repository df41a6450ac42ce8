"""``HessianTrace``: the sum of the eigenvalues of the Hessian."""

import numpy as np

from workbench.curvature import CurvatureOperator, trace
from workbench.moment import Moment, Reading
from workbench.random_vectors import generator, random_vectors
from workbench.result import Estimate, standard_error
from workbench.stability.quantities.curvature_of import loss_hessian
from workbench.stability.quantities.layers import layer_parts
from workbench.stability.quantities.probed_hessian import ProbedHessian


class HessianTrace(ProbedHessian):
    r"""Trace of the Hessian by Hutchinson's estimator, with its standard error.

    By layer all layers share ``probes`` products :math:`H v` of the whole with vectors of random signs: the
    sum of :math:`v_i (H v)_i` over the entries of a layer is an unbiased sample of the trace of its block, as
    the signs of different entries are independent. Its variance is :math:`2 \sum_{i \ne j} H_{ij}^2` within
    the block, and once the sum of the squares beside it in its rows (derived here).
    """

    name = "hessian_trace"

    def estimate(self, operator: CurvatureOperator, seed: int) -> Estimate:
        """Estimate it with ``self.probes`` products."""
        return trace(operator, max_matvecs=self.probes, seed=seed)

    def measure_layers(self, moment: Moment, seed: int) -> dict[str, Reading]:
        """Estimate that of each layer's block, from products of the whole Hessian."""
        operator, source = moment.shared(loss_hessian), generator(seed)
        samples: dict[str, list[float]] = {}
        for _ in range(self.probes):
            (probe,) = random_vectors(1, operator.shape[0], source, "rademacher")
            products = probe * (operator @ probe).double().cpu()
            for layer, part in layer_parts(moment.problem, products).items():
                samples.setdefault(layer, []).append(part.sum().item())
        return {layer: _mean(np.array(values)) for layer, values in samples.items()}


def _mean(samples: np.ndarray) -> Reading:
    return Reading(float(samples.mean()), float(standard_error(samples)))
