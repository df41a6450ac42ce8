"""Hutchinson's estimator: the mean of quadratic forms with random vectors."""

import torch

from workbench.curvature.estimators.deflation import paired
from workbench.curvature.estimators.sampling import Probes, Samples, independent, multiply
from workbench.curvature.operators import CurvatureOperator


class Hutchinson:
    r"""Samples :math:`v^\top A v` of the trace and :math:`\|A v\|^2` of the squared Frobenius norm.

    One product per sample; nothing but two numbers is kept of each.

    Source: Hutchinson, "A stochastic estimator of the trace of the influence matrix", 1989.
    """

    cost = 1

    def __init__(self, op: CurvatureOperator, probes: Probes) -> None:
        self._op, self._probes = op, probes
        self._samples = torch.empty(2, 0, dtype=torch.float64, device="cpu")

    @property
    def count(self) -> int:
        """Number of samples."""
        return self._samples.shape[1]

    def extend(self, count: int) -> None:
        """Draw more samples."""
        probes = self._probes.draw(count)
        products = multiply(self._op, probes)
        new = torch.stack([paired(probes, products), paired(products, products)])
        self._samples = torch.cat([self._samples, new], dim=1)

    def traces(self) -> Samples:
        """Samples of the trace."""
        return independent(self._samples[0])

    def squares(self) -> Samples:
        """Samples of the squared Frobenius norm."""
        return independent(self._samples[1])
