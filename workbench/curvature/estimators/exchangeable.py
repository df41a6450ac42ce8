"""``ExchangeableProbes``: each random vector is tested against the range that all the others made."""

import torch
from torch import Tensor

from workbench.curvature.estimators.range_basis import RangeBasis
from workbench.curvature.estimators.sampling import Probes, check_memory, multiply
from workbench.curvature.operators import CurvatureOperator

_PARALLEL = 1e-6  # sine of the angle below which the difference of two directions is rounding


class ExchangeableProbes:
    r"""Random vectors :math:`\omega_i` and the basis Q of all products :math:`A \omega_i`.

    Two products per vector: A ω and A q.

    Source: Epperly, Tropp and Webber, "XTrace: making the most of every sample in stochastic trace
    estimation", 2024 (arXiv 2301.07825).
    """

    def __init__(self, op: CurvatureOperator, probes: Probes, capacity: int) -> None:
        check_memory(op, 3 * capacity)
        self.spherical = probes.spherical
        self.basis = RangeBasis(op, capacity)
        self._op, self._source = op, probes
        self._vectors = torch.empty(capacity, op.shape[0], dtype=op.dtype, device=op.device)

    @property
    def count(self) -> int:
        """Number of random vectors, m."""
        return self.basis.size

    @property
    def vectors(self) -> Tensor:
        """The random vectors, as rows (m, n)."""
        return self._vectors[: self.count]

    def extend(self, count: int) -> None:
        """Draw more vectors."""
        vectors = self._source.draw(count)
        products = multiply(self._op, vectors)
        self._vectors[self.count : self.count + count] = vectors
        self.basis.extend(products)


class LeftOut:
    r"""Which direction of the basis is lost when a vector is left out, and when a second one is.

    Without the i-th product the others span :math:`Q (I - s_i s_i^\top)`: the unit vector :math:`s_i` is
    orthogonal to all columns of R but the i-th, so it is the i-th column of :math:`R^{-\top}`, normalised.
    One QR decomposition thus serves all the bases with one vector left out. Without the j-th one too,
    :math:`v_{ij}` is lost as well: the part of :math:`s_j` that is orthogonal to :math:`s_i`.

    Attributes
    ----------
    directions : Tensor (m, m)
        The :math:`s_i`, as columns.
    overlap : Tensor (m, m)
        Their cosines.
    sine : Tensor (m, m)
        Their sines; infinite where two are the same but for rounding (and for i = j). There the range of A
        is exhausted and nothing is lost with the second vector.
    """

    def __init__(self, triangle: Tensor) -> None:
        identity = torch.eye(len(triangle), dtype=torch.float64, device="cpu")
        columns = torch.linalg.solve_triangular(triangle.T, identity, upper=False)
        self.directions = columns / torch.linalg.vector_norm(columns, dim=0)
        self.overlap = self.directions.T @ self.directions
        sine = (1 - self.overlap.square()).clamp_min(0).sqrt()
        self.sine = torch.where(sine > _PARALLEL, sine, torch.inf).fill_diagonal_(torch.inf)

    def first(self, columns: Tensor) -> Tensor:
        """Remove from the i-th column (m,) its component along the i-th direction."""
        return columns - self.directions * (self.directions * columns).sum(dim=0)

    def second(self, columns: Tensor) -> Tensor:
        """Inner products (i, j) of the second direction lost, v, with the i-th column."""
        products = (self.directions.T @ columns).T
        return (products - self.overlap * products.diagonal()[:, None]) / self.sine

    def second_forms(self, matrix: Tensor) -> Tensor:
        """Forms ``v·Mv`` (i, j) of a matrix in the second direction lost."""
        forms = self.directions.T @ matrix @ self.directions
        own = forms.diagonal()
        mixed = self.overlap * (forms + forms.T)
        return (own - mixed + self.overlap.square() * own[:, None]) / self.sine.square()


def covariance(changes: Tensor) -> Tensor:
    r"""Estimate the covariance of two samples, clamped at 0, from changes (m, m, …).

    The i-th sample :math:`t_i` changes by :math:`\delta_{ij}` when the j-th vector is put in. Given the other
    vectors, :math:`t_i` without the j-th and :math:`t_j` without the i-th are independent, and every sample
    has the right mean over its own vector, whatever the others are. All products but one therefore vanish
    in the mean: :math:`\mathrm{Cov}(t_i, t_j) = E[\delta_{ij} \delta_{ji}]`.
    """
    count = len(changes)
    products = (changes * changes.transpose(0, 1)).sum(dim=(0, 1))
    return (products / max(count * (count - 1), 1)).clamp_min(0)
