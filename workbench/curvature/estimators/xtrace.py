"""XTrace: exact on the range that all other vectors made, Hutchinson's estimator on the rest."""

import functools
import math

import torch
from torch import Tensor

from workbench.curvature.estimators.deflation import outside, paired, quadratic, scales, small
from workbench.curvature.estimators.exchangeable import ExchangeableProbes, LeftOut, covariance
from workbench.curvature.estimators.sampling import Probes, Samples, independent
from workbench.curvature.operators import CurvatureOperator


class XTrace:
    r"""Samples :math:`\mathrm{tr}(Q_i^\top A Q_i) + \omega_i^\top P_i A P_i \omega_i` of the trace.

    :math:`P_i = I - Q_iQ_i^\top`, and :math:`Q_i` spans all :math:`A \omega_j` with j ≠ i. Two products per
    sample. With the distribution ``"sphere"`` the part of each vector outside :math:`Q_i` is scaled to its
    expected length, as the authors recommend.

    The authors' error estimate :math:`\sqrt{\sum_i (t_i - \bar t)^2 / (m (m - 1))}` leaves out that the
    samples share most of what they are made of; its square is too small by the covariance of two of them.
    That is added here, estimated without bias from the same products (:func:`~.exchangeable.covariance`).

    Source: Epperly, Tropp and Webber, "XTrace: making the most of every sample in stochastic trace
    estimation", 2024 (arXiv 2301.07825).
    """

    cost = 2

    def __init__(self, op: CurvatureOperator, probes: Probes, capacity: int) -> None:
        self._size = op.shape[0]
        self._probes = ExchangeableProbes(op, probes, capacity)

    @property
    def count(self) -> int:
        """Number of samples."""
        return self._probes.count

    def extend(self, count: int) -> None:
        """Draw more samples."""
        self._probes.extend(count)

    def traces(self) -> Samples:
        """Samples of the trace."""
        basis, vectors = self._probes.basis, self._probes.vectors
        inside = small(basis.rows, vectors)
        forms = (inside * basis.triangle).sum(dim=0)  # A ω is Q R, so Qᵀ A ω is R
        cross = small(basis.images, vectors) + basis.triangle
        return self._samples(small(basis.rows, basis.images), forms, cross, inside)

    def squares(self) -> Samples:
        """Samples of the squared Frobenius norm."""
        basis = self._probes.basis
        forms = basis.triangle.square().sum(dim=0)
        cross = 2 * small(basis.images, basis.rows) @ basis.triangle
        inside = small(basis.rows, self._probes.vectors)
        return self._samples(small(basis.images, basis.images), forms, cross, inside)

    def _samples(self, compressed: Tensor, forms: Tensor, cross: Tensor, inside: Tensor) -> Samples:
        left_out = LeftOut(self._probes.basis.triangle)
        coordinates = left_out.first(inside)
        lengths = paired(self._probes.vectors, self._probes.vectors) - coordinates.square().sum(dim=0)
        factors = functools.partial(scales, self._probes.spherical)
        rest = outside(forms, cross, compressed, coordinates)
        share = factors(self._size - self.count + 1, lengths) * rest
        values = compressed.trace() - quadratic(compressed, left_out.directions) + share

        # The same with one more vector left out: its direction v goes from the exact part to the random one.
        along = left_out.second(inside)
        lost = left_out.second_forms(compressed)
        gradient = left_out.second(cross - (compressed + compressed.T) @ coordinates)
        wider = rest[:, None] + along * gradient + along.square() * lost
        wider_share = factors(self._size - self.count + 2, lengths[:, None] + along.square()) * wider
        changes = torch.where(left_out.sine.isinf(), 0, lost + share[:, None] - wider_share)
        stderr = math.hypot(independent(values).stderr, covariance(changes).sqrt().item())
        return Samples(values, stderr)
