"""The Lanczos process with full two-pass reorthogonalisation, breakdown and thick restart."""

import math
import warnings

import numpy as np
import torch
from torch import Tensor

# A coupling or a residual below this many roundings of ||A|| is zero as far as products can tell.
ROUNDINGS = 10
_TWICE_IS_ENOUGH = 0.7  # a vector that orthogonalisation leaves shorter than this share is treated once more


class Lanczos:
    r"""Orthonormal basis V of a Krylov space of A and the projection :math:`T = V^\top A V`.

    The caller multiplies: ``process.absorb(A @ process.newest)`` adds one vector to the basis. From b start
    vectors there are up to b that wait for their products (``process.pending``), so that a block of them can
    be multiplied, and absorbed, together. Every new vector is orthogonalised twice against all earlier ones,
    so no ghost copies of converged eigenvalues appear and what leads out of the basis is the true residual
    norm of a Ritz pair, up to rounding. What is left of a product when it is rounding alone is no new vector:
    one fewer waits.

    Orthogonalisation yields :math:`v_i^\top A v_j` for all i < j; the transposed numbers are known from
    earlier steps. Their difference is kept: it shows an operator that is not symmetric, at no cost.

    Parameters
    ----------
    start : Tensor (n,) or (b, n)
        Any vector but zero, or several as rows; its dtype is that of the basis. What depends on earlier rows
        is left out.
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

    Source: Lanczos 1950; Ruhe, "Implementation aspects of band Lanczos algorithms", 1979; Wu and Simon,
    "Thick-restart Lanczos method", 2000.
    """

    def __init__(self, start: Tensor, capacity: int, precision: float) -> None:
        count, size = torch.atleast_2d(start).shape
        most = capacity + count
        self.capacity = capacity
        self.precision = precision
        self.size = 0
        self.norm = 0.0
        self._known = 0  # rows that hold vectors: the absorbed ones and those that wait
        self._smallest_coupling = math.inf  # of all products so far
        self._rows = start.new_empty(most, size)
        self._projected = np.zeros((most, most))
        self._skew = np.zeros((most, most))
        self._largest_skew = 0.0
        self.continue_with(start)

    @property
    def newest(self) -> Tensor:
        """The unit vector (n,) whose product is to be absorbed next."""
        return self._rows[self.size]

    @property
    def pending(self) -> Tensor:
        """All vectors that wait for their products, as rows, the next one first."""
        return self._rows[self.size : self._known]

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
        r"""What leads out of the basis: B (b, size) in :math:`A V = V T + P B`, P being what is pending."""
        return self._projected[self.size : self._known, : self.size]

    @property
    def closed(self) -> bool:
        """Whether the basis is invariant under A, so that there is no next vector."""
        return self._known == self.size

    @property
    def nearly_closed(self) -> bool:
        """Whether a vector may have come from rounding alone, which small couplings magnify."""
        return self._smallest_coupling <= self.precision ** (2 / 3) * self.norm

    @property
    def floor(self) -> float:
        """Smallest residual norm that products of this precision can resolve."""
        return ROUNDINGS * self.precision * self.norm

    @property
    def asymmetry(self) -> float:
        r"""Largest singular value of :math:`V^\top (A - A^\top) V` seen so far, relative to the norm of A."""
        return max(self._largest_skew, self._current_skew()) / self.norm if self.norm else 0.0

    def absorb(self, products: Tensor) -> None:
        """Take A times the vectors that wait, the next one first; what of it is new waits behind them.

        Parameters
        ----------
        products : Tensor (n,) or (m, n)
            Of the next vector, or of the m next ones as rows.

        Raises
        ------
        ValueError
            If a product is not finite.
        """
        products = torch.atleast_2d(products)
        known = self._known
        # All rows at once against what is known: one pass over the basis serves the whole block.
        rests, coefficients = _orthogonalize(products, self._rows[:known])
        for rest, row in zip(rests, coefficients, strict=True):
            self._append(*self._less_newer(rest, row, known))

    def _less_newer(self, rest: Tensor, row: np.ndarray, known: int) -> tuple[Tensor, np.ndarray]:
        """Make a rest orthogonal to the rows that the same block has added after the first ``known``."""
        newer = self._rows[known : self._known]
        if not len(newer):
            return rest, row
        before = _norm(rest)
        rest, components = _orthogonalize(rest, newer)
        row = np.concatenate([row, components])
        if _norm(rest) < _TWICE_IS_ENOUGH * before:  # cancellation has magnified what rounding left elsewhere
            rest, more = _orthogonalize(rest, self._rows[: self._known])
            row += more
        return rest, row

    def _append(self, rest: Tensor, coefficients: np.ndarray) -> None:
        """Take a product as its coefficients in the basis and what is left of it."""
        j, known = self.size, self._known
        coupling = _norm(rest)
        length = math.hypot(coupling, *coefficients)  # of the product
        if not math.isfinite(length):
            raise ValueError("a product with the operator is not finite: is the loss finite here?")
        self.norm = max(self.norm, length)
        if coupling <= self.floor or known == self._rows.shape[1]:
            coupling = 0.0
        else:
            self._rows[known] = rest / coupling
        self._skew[:j, j] = coefficients[:j] - self._projected[:j, j]
        self._projected[j:known, j] = self._projected[j, j:known] = coefficients[j:]
        self._projected[known, j] = self._projected[j, known] = coupling
        self._smallest_coupling = min(self._smallest_coupling, coupling)
        self._known = known + (coupling > 0)
        self.size = j + 1  # last: an interrupt before it leaves the state as it was

    def continue_with(self, fresh: Tensor) -> None:
        """Let fresh vectors, (n,) or (b, n), wait too, made orthogonal to all others."""
        for vector in torch.atleast_2d(fresh)[: self._rows.shape[1] - self._known]:
            for _ in range(2):
                vector, _ = _orthogonalize(vector / _norm(vector), self._rows[: self._known])
            length = _norm(vector)
            if length > ROUNDINGS * torch.finfo(vector.dtype).eps:
                self._rows[self._known] = vector / length
                self._known += 1

    def ritz(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return Ritz values (size,), ascending, coordinates as columns (size, size), residual norms."""
        values, coordinates = np.linalg.eigh(self.projected)
        return values, coordinates, np.linalg.norm(self.border @ coordinates, axis=0)

    def vectors(self, coordinates: np.ndarray) -> Tensor:
        """Return the vectors (k, n) with these coordinates (size, k) in the basis, as rows."""
        return torch.from_numpy(coordinates.T.copy()).to(self._rows) @ self.basis

    def restart(self, values: np.ndarray, coordinates: np.ndarray) -> None:
        """Shrink the basis to p Ritz pairs, keeping all that the space knows about them."""
        kept = len(values)
        rows = self.vectors(coordinates)
        border = self.border @ coordinates
        self._largest_skew = max(self._largest_skew, self._current_skew())
        pending = self.pending.clone()
        known = kept + len(pending)
        self.size = 0  # an interrupt from here on finds an empty basis, not a wrong one
        self._rows[:kept] = rows
        self._rows[kept:known] = pending
        self._skew[:] = 0
        self._projected[:] = 0
        self._projected[range(kept), range(kept)] = values
        self._projected[kept:known, :kept] = border
        self._projected[:kept, kept:known] = border.T
        self._known = known
        self.size = kept

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


def _orthogonalize(vectors: Tensor, rows: Tensor) -> tuple[Tensor, np.ndarray]:
    """Remove from (..., n) vectors their components along orthonormal rows, twice; return both."""
    first = vectors @ rows.T
    rest = vectors - first @ rows
    second = rest @ rows.T
    rest = rest - second @ rows
    return rest, (first.double() + second.double()).cpu().numpy()


def _norm(vector: Tensor) -> float:
    return torch.linalg.vector_norm(vector, dtype=torch.float64).item()
