"""``CurvatureOperator``: a symmetric n × n matrix that is known by its products only."""

import abc
import fnmatch
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from workbench.choices import suggestion
from workbench.layout import layers_of
from workbench.memory import free_bytes, show_bytes
from workbench.progress import progress

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator

DENSE_BLOCK = 64  # columns that one pass over the data computes when the whole matrix is wanted


class CurvatureOperator(abc.ABC):
    """A real symmetric matrix A (n × n) of which only products are computed.

    A subclass says how a block of columns is multiplied (:meth:`_multiply`); everything else is here.

    Parameters
    ----------
    size : int
        Number of rows n.
    dtype : torch.dtype
        Of the products, float32 or float64.
    device : torch.device
        Where vectors and products are.
    precision : float, optional
        Relative rounding error of a product, by default the machine epsilon of ``dtype``. A model in
        bfloat16 gives float32 products that are right to bfloat16's epsilon only.
    layout : sequence of slices
        Objects with ``name``, ``start`` and ``stop``: which parameter stands where in a vector. May be empty.
    terms : str
        What the matrix is made of, e.g. ``"loss + weight decay"``.
    """

    def __init__(
        self,
        size: int,
        dtype: torch.dtype,
        device: torch.device | str = "cpu",
        *,
        precision: float | None = None,
        layout: Sequence[Any] = (),
        terms: str = "loss",
    ) -> None:
        self.shape = (size, size)
        self.dtype = dtype
        self.device = torch.device(device)
        self.precision = torch.finfo(dtype).eps if precision is None else precision
        self.layout = tuple(layout)
        self.terms = terms
        self.matvecs = 0

    @abc.abstractmethod
    def _multiply(self, block: Tensor) -> Tensor:
        """Return A @ block (n, k) in ``self.dtype``, for a block (n, k) in ``self.dtype``."""

    def _dense_block(self, block: Tensor) -> Tensor:
        """Like ``_multiply``, for the many columns of :meth:`dense`; override where there is a faster way."""
        return self._multiply(block)

    def __matmul__(self, vectors: Tensor) -> Tensor:
        """Multiply a vector (n,) or the columns of a block (n, k).

        ``matvecs`` counts the columns. A block shares the work that does not depend on the vector.

        Raises
        ------
        TypeError
            If ``vectors`` is not a real tensor.
        ValueError
            If its first dimension is not n.
        """
        if not isinstance(vectors, Tensor) or vectors.is_complex():
            kind = "complex tensor" if isinstance(vectors, Tensor) else type(vectors).__name__
            raise TypeError(
                f"a {kind} cannot be multiplied: pass a real torch tensor (for NumPy: op.to_scipy())"
            )
        if vectors.dim() not in (1, 2) or vectors.shape[0] != self.shape[1]:
            n = self.shape[1]
            raise ValueError(f"shape {tuple(vectors.shape)} does not fit: pass ({n},) or ({n}, k)")
        block = vectors.detach().to(device=self.device, dtype=self.dtype)
        if vectors.dim() == 1:
            return self._counted(self._multiply, block[:, None])[:, 0]
        return self._counted(self._multiply, block)

    def dense(self) -> Tensor:
        """Return the whole matrix (n, n), computed column by column and not symmetrised.

        Cost: n products, in blocks.

        Raises
        ------
        ValueError
            If the matrix would not fit into half of the memory that is free.
        """
        n = self.shape[0]
        needed = n * n * self.dtype.itemsize
        if needed > free_bytes(self.device) // 2:
            raise ValueError(
                f"a dense {n} × {n} matrix takes {show_bytes(needed)}, more than half of the free "
                "memory: use eigenpairs(), spectral_density() or restrict() the problem"
            )
        matrix = torch.empty(self.shape, dtype=self.dtype, device=self.device)
        with progress("dense matrix", n) as advance:
            for start in range(0, n, DENSE_BLOCK):
                stop = min(start + DENSE_BLOCK, n)
                unit = torch.zeros(n, stop - start, dtype=self.dtype, device=self.device)
                unit[start:stop].fill_diagonal_(1)
                matrix[:, start:stop] = self._counted(self._dense_block, unit)
                advance(stop - start)
        return matrix

    def to_scipy(self) -> "LinearOperator":
        """Return the same matrix for SciPy, in NumPy arrays on the CPU."""
        from scipy.sparse.linalg import LinearOperator

        def multiply(vectors: np.ndarray) -> np.ndarray:
            product = self @ torch.from_numpy(np.ascontiguousarray(vectors))
            return product.cpu().numpy()

        dtype = torch.empty(0, dtype=self.dtype).numpy().dtype
        return LinearOperator(
            self.shape, matvec=multiply, rmatvec=multiply, matmat=multiply, rmatmat=multiply, dtype=dtype
        )

    def restrict(self, patterns: str | Sequence[str]) -> "CurvatureOperator":
        """Return the rows and columns of the parameters whose names match, e.g. ``"blocks.3.*"``.

        Raises
        ------
        ValueError
            If a pattern matches none, or the operator does not know which parameter stands where.
        """
        from workbench.curvature.operators.algebra import Submatrix  # which is an operator itself

        names = [part.name for part in self.layout]
        wanted: set[str] = set()
        for pattern in [patterns] if isinstance(patterns, str) else patterns:
            found = fnmatch.filter(names, pattern)
            if not found:
                raise ValueError(f"no parameter matches {pattern!r}{suggestion(pattern, names)}")
            wanted.update(found)
        return Submatrix(self, [part for part in self.layout if part.name in wanted])

    def block_diagonal(self) -> "CurvatureOperator":
        """Return the diagonal blocks of the layers alone. Cost per column: a product with each block.

        Raises
        ------
        ValueError
            If the operator does not know which parameter stands where.
        """
        from workbench.curvature.operators.algebra import BlockDiagonal

        if not self.layout:
            raise ValueError("this operator does not know which parameter stands where: it has no layers")
        blocks = {layer: self.restrict(names) for layer, names in layers_of(self.layout).items()}
        return BlockDiagonal(blocks, self)

    def __add__(self, other: Any) -> "CurvatureOperator":
        return self._combined(1.0, other)

    def __sub__(self, other: Any) -> "CurvatureOperator":
        return self._combined(-1.0, other)

    def __mul__(self, factor: Any) -> "CurvatureOperator":
        from workbench.curvature.operators.algebra import Combination

        if isinstance(factor, bool) or not isinstance(factor, int | float):
            return NotImplemented
        return Combination([(factor, self)])

    __rmul__ = __mul__

    def __neg__(self) -> "CurvatureOperator":
        return self * -1.0

    def _combined(self, factor: float, other: Any) -> "CurvatureOperator":
        from workbench.curvature.operators.algebra import Combination
        from workbench.curvature.operators.wrapped import as_operator

        if isinstance(other, int | float):
            return NotImplemented  # a number is no matrix: A + 2 * identity(A)
        return Combination([(1.0, self), (factor, as_operator(other))])

    def __repr__(self) -> str:
        dtype = str(self.dtype).removeprefix("torch.")
        return (
            f"{type(self).__name__}({self.shape[0]} × {self.shape[1]}, {dtype}, {self.device}, {self.terms})"
        )

    def _counted(self, multiply: Any, block: Tensor) -> Tensor:
        product = multiply(block)
        self.matvecs += block.shape[1]
        return product
