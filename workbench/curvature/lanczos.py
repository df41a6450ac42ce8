"""The Lanczos process with full two-pass reorthogonalisation, breakdown and thick restart."""

import warnings
from typing import Self

import numpy as np
import torch
from torch import Tensor

# A coupling or a residual below this many roundings of ||A|| is zero as far as products can tell.
ROUNDINGS = 10


class Lanczos:
    r"""Orthonormal basis V of a Krylov space of A and the projection :math:`T = V^\top A V`.

    The caller multiplies: ``process.absorb(A @ process.newest)`` adds one vector. Every new vector is
    orthogonalised twice against all earlier ones, so no ghost copies of converged eigenvalues appear and
    what leads out of the basis is the true residual norm of a Ritz pair, up to rounding.

    Orthogonalisation yields :math:`v_i^\top A v_j` for all i < j; the transposed numbers are known from
    earlier steps. Their difference is kept: it shows an operator that is not symmetric, at no cost.

    Parameters
    ----------
    start : Tensor (n,)
        Any vector but zero; its dtype is that of the basis.
    capacity : int
        Largest number of basis vectors, at most n.
    precision : float
        Relative rounding error of a product.

    Attributes
    ----------
    size : int
        Vectors absorbed so far.
    norm : float
        Lower bound on the spectral norm of A, from the products seen.

    Source: Lanczos 1950; Wu and Simon, "Thick-restart Lanczos method", 2000.
    """

    def __init__(self, start: Tensor, capacity: int, precision: float) -> None:
        self.capacity = capacity
        self.precision = precision
        self.size = 0
        self.norm = 0.0
        self._rows = start.new_empty(capacity + 1, start.numel())
        self._rows[0] = start / _norm(start)
        self._projected = np.zeros((capacity + 1, capacity + 1))
        self._skew = np.zeros((capacity + 1, capacity + 1))
        self._largest_skew = 0.0

    @property
    def newest(self) -> Tensor:
        """The unit vector (n,) whose product is to be absorbed next."""
        return self._rows[self.size]

    @property
    def basis(self) -> Tensor:
        """Absorbed basis vectors, as rows (size, n)."""
        return self._rows[: self.size]

    @property
    def projected(self) -> np.ndarray:
        """The projection T (size, size)."""
        return self._projected[: self.size, : self.size]

    @property
    def border(self) -> np.ndarray:
        r"""What leads out of the basis: b (size,) in :math:`A V = V T + v b^\top`, v being the newest."""
        return self._projected[self.size, : self.size]

    @property
    def closed(self) -> bool:
        """Whether the basis is invariant under A, so that there is no next vector."""
        return not self.border.any()

    @property
    def nearly_closed(self) -> bool:
        """Whether what lies beyond the basis may be rounding alone, which small couplings magnify."""
        return bool(np.linalg.norm(self.border) <= self.precision ** (2 / 3) * self.norm)

    @property
    def floor(self) -> float:
        """Smallest residual norm that products of this precision can resolve."""
        return ROUNDINGS * self.precision * self.norm

    @property
    def asymmetry(self) -> float:
        r"""Largest singular value of :math:`V^\top (A - A^\top) V` seen so far, relative to the norm of A."""
        return max(self._largest_skew, self._current_skew()) / self.norm if self.norm else 0.0

    def absorb(self, product: Tensor) -> None:
        """Take A @ newest and prepare the next vector.

        Raises
        ------
        ValueError
            If the product is not finite.
        """
        j = self.size
        rows = self._rows[: j + 1]
        rest, coefficients = _orthogonalize(product, rows)
        length = _norm(product)
        if not np.isfinite(length):
            raise ValueError("a product with the operator is not finite: is the loss finite here?")
        self.norm = max(self.norm, length)
        coupling = _norm(rest)
        if coupling <= self.floor or j + 1 == rows.shape[1]:
            coupling = 0.0
        else:
            self._rows[j + 1] = rest / coupling
        self._skew[:j, j] = coefficients[:j] - self._projected[:j, j]
        self._projected[j, j] = coefficients[j]
        self._projected[j + 1, j] = self._projected[j, j + 1] = coupling
        self.size = j + 1  # last: an interrupt before it leaves the state as it was

    def continue_with(self, fresh: Tensor) -> None:
        """After an invariant subspace was found, go on from a fresh vector, made orthogonal to it."""
        for _ in range(2):
            fresh, _ = _orthogonalize(fresh / _norm(fresh), self.basis)
        self._rows[self.size] = fresh / _norm(fresh)

    def ritz(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return Ritz values (size,), ascending, coordinates as columns (size, size), residual norms."""
        values, coordinates = np.linalg.eigh(self.projected)
        return values, coordinates, np.abs(self.border @ coordinates)

    def vectors(self, coordinates: np.ndarray) -> Tensor:
        """Return the vectors (k, n) with these coordinates (size, k) in the basis, as rows."""
        return torch.from_numpy(coordinates.T.copy()).to(self._rows) @ self.basis

    def restart(self, values: np.ndarray, coordinates: np.ndarray) -> None:
        """Shrink the basis to p Ritz pairs, keeping all that the space knows about them."""
        kept = len(values)
        rows = self.vectors(coordinates)
        border = self.border @ coordinates
        self._largest_skew = max(self._largest_skew, self._current_skew())
        newest = self._rows[self.size].clone()
        self.size = 0  # an interrupt from here on finds an empty basis, not a wrong one
        self._rows[:kept] = rows
        self._rows[kept] = newest
        self._skew[:] = 0
        self._projected[:] = 0
        self._projected[range(kept), range(kept)] = values
        self._projected[:kept, kept] = self._projected[kept, :kept] = border
        self.size = kept

    def without_basis(self) -> Self:
        """Give the memory of the basis back; the projection stays."""
        self._rows = self._rows.new_empty(0, 0)
        return self

    def _current_skew(self) -> float:
        skew = self._skew[: self.size, : self.size]
        return float(np.linalg.norm(skew - skew.T, 2)) if self.size else 0.0


def warn_if_asymmetric(asymmetry: float, precision: float) -> None:
    """Warn when an operator differs from its transpose by more than rounding explains."""
    if asymmetry > min(max(1e-6, 1000 * precision), 0.1):
        warnings.warn(
            f"the operator is not symmetric: |u·Av − v·Au| reaches {asymmetry:.1e} of its norm. Its "
            "eigenvalues are not to be trusted: its second derivative is wrong, or its products change "
            "from call to call",
            RuntimeWarning,
            stacklevel=3,
        )


def _orthogonalize(vector: Tensor, rows: Tensor) -> tuple[Tensor, np.ndarray]:
    """Remove from ``vector`` its components along orthonormal rows, twice; return the rest and them."""
    first = rows @ vector
    rest = vector - first @ rows
    second = rows @ rest
    rest = rest - second @ rows
    return rest, (first.double() + second.double()).cpu().numpy()


def _norm(vector: Tensor) -> float:
    return torch.linalg.vector_norm(vector, dtype=torch.float64).item()
