"""``KrylovSystems``: (A + s I) x = b for many shifts s from one Krylov space."""

from typing import Any

import numpy as np
from torch import Tensor

from workbench.curvature.lanczos import Lanczos
from workbench.curvature.operators.wrapped import as_operator


class KrylovSystems:
    r"""Solutions of shifted systems by conjugate gradients, which share their Krylov space.

    The space of A and b is that of A + s I and b, whatever s is. So a second shift costs no product unless it
    asks for a larger space than there is, and a search for a regularisation costs what its smallest one does.

    Parameters
    ----------
    op : CurvatureOperator, or anything with ``shape`` and ``@``
        A, symmetric (n × n).
    right : Tensor (n,)
        b, not zero.
    tol : float
        Residual norm at which a solution is good enough, relative to the norm of b.
    most : int
        Largest dimension of the space; its vectors are kept.

    Source: Lanczos, 1952; the shifts as in Cartis, Gould and Toint, "Adaptive cubic regularisation methods",
    Mathematical Programming 127 (2011), section 6.
    """

    def __init__(self, op: Any, right: Tensor, tol: float = 1e-6, most: int = 200) -> None:
        self._op = as_operator(op)
        start = right.to(self._op.dtype)
        self._process = Lanczos(start, min(most, len(start)), self._op.precision)
        self._length = float(right.double().norm())
        self._tol = tol
        self._ritz: tuple[np.ndarray, np.ndarray] = (np.empty(0), np.empty((0, 0)))

    @property
    def products(self) -> int:
        """Products with A so far."""
        return self._process.size

    @property
    def smallest(self) -> float:
        """The smallest eigenvalue of A as far as the space has found it; inf before the first product."""
        return float(self._pairs()[0][0]) if self._process.size else np.inf

    def solve(self, shift: float) -> Tensor | None:
        """Return x (n,); None if A + s I is not positive definite on the space.

        At the largest dimension the best solution of the space is returned, whatever its residual.
        """
        while True:
            if self._process.size:
                values, coordinates = self._pairs()
                if values[0] + shift <= 0:
                    return None
                solution = coordinates @ (self._length * coordinates[0] / (values + shift))
                residual = np.linalg.norm(self._process.border @ solution)
                if residual <= self._tol * self._length or self._full:
                    return self._process.vectors(solution[:, None])[0]
            self._process.absorb(self._op @ self._process.newest)

    def _pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Ritz values and coordinates, computed once for each size of the space."""
        if len(self._ritz[0]) != self._process.size:
            self._ritz = self._process.ritz()[:2]
        return self._ritz

    @property
    def _full(self) -> bool:
        return self._process.closed or self._process.size == self._process.capacity
