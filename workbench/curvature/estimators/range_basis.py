"""``RangeBasis``: an orthonormal basis of what a matrix made of random vectors."""

import math

import torch
from torch import Tensor

from workbench.curvature.estimators.sampling import multiply
from workbench.curvature.operators import CurvatureOperator


class RangeBasis:
    r"""Orthonormal vectors that span the products :math:`A \Omega = Q R`, with their own products A Q.

    It grows by blocks and computes nothing twice. Vectors are kept as rows.

    Parameters
    ----------
    op : CurvatureOperator
        The matrix A (n × n).
    capacity : int
        Most vectors, at most n.

    Attributes
    ----------
    size : int
        Vectors so far, m.
    """

    def __init__(self, op: CurvatureOperator, capacity: int) -> None:
        self.size = 0
        self._op = op
        self._rows = torch.empty(capacity, op.shape[0], dtype=op.dtype, device=op.device)
        self._images = torch.empty_like(self._rows)
        self._triangle = torch.zeros(capacity, capacity, dtype=torch.float64, device="cpu")
        self._source = torch.Generator(device="cpu").manual_seed(0)
        self._largest = 0.0

    @property
    def rows(self) -> Tensor:
        """The basis Q, as rows (m, n)."""
        return self._rows[: self.size]

    @property
    def images(self) -> Tensor:
        """The products A Q, as rows (m, n)."""
        return self._images[: self.size]

    @property
    def triangle(self) -> Tensor:
        """Upper triangular R (m, m), float64, never singular."""
        return self._triangle[: self.size, : self.size]

    def extend(self, products: Tensor) -> None:
        """Add the span of further products A ω, given as rows. Cost: as many products as there are rows."""
        coefficients, triangle, fresh = self._orthonormalize(self._perturbed(products))
        images = multiply(self._op, fresh)
        new = slice(self.size, self.size + len(fresh))
        self._rows[new], self._images[new] = fresh, images
        self._triangle[: self.size, new] = coefficients
        self._triangle[new, new] = triangle
        self.size = new.stop  # last: an interrupt before it leaves the state as it was

    def _perturbed(self, products: Tensor) -> Tensor:
        # Noise as small as rounding keeps the rank full where that of A is exhausted. It knows nothing of the
        # random vectors, so what rests on their independence stays true.
        norms = torch.linalg.vector_norm(products, dim=1, dtype=torch.float64)
        self._largest = max(self._largest, norms.max().item())
        size = self._op.precision * self._largest or torch.finfo(products.dtype).tiny ** 0.25
        noise = torch.randn(products.shape, generator=self._source, dtype=torch.float64, device="cpu")
        return products + (size / math.sqrt(products.shape[1]) * noise).to(products)

    def _orthonormalize(self, rest: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Split vectors Y into Q C + F T with new orthonormal vectors F; return C, T and F."""
        coefficients = torch.zeros(self.size, len(rest), dtype=torch.float64, device="cpu")
        triangle = torch.eye(len(rest), dtype=torch.float64, device="cpu")
        for _ in range(2):  # once leaves rounding errors, magnified where a vector nearly vanished
            step = self.rows @ rest.T
            factors = torch.linalg.qr(rest.T - self.rows.T @ step)
            coefficients += step.double().cpu() @ triangle
            triangle = factors.R.double().cpu() @ triangle
            rest = factors.Q.T
        return coefficients, triangle, rest
