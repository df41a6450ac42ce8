"""Any matrix as a ``CurvatureOperator``: tensors, arrays, SciPy's and other libraries' operators."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from workbench.curvature.operators.base import CurvatureOperator


class WrappedOperator(CurvatureOperator):
    """A symmetric matrix given as any object with ``shape`` and ``@``.

    An object whose ``dtype`` is torch's is multiplied with torch tensors, any other with NumPy arrays.

    Raises
    ------
    TypeError
        If the object has no ``shape`` or ``@``, or is complex.
    ValueError
        If it is not square.
    """

    def __init__(self, matrix: Any) -> None:
        shape = tuple(getattr(matrix, "shape", ()))
        if not shape or not hasattr(matrix, "__matmul__"):
            raise TypeError(f"a {type(matrix).__name__} is not a matrix: it needs .shape and @")
        if len(shape) != 2 or shape[0] != shape[1]:
            raise ValueError(f"a matrix of shape {shape} is not square")
        self._matrix = matrix
        self._speaks_torch = isinstance(getattr(matrix, "dtype", None), torch.dtype)
        super().__init__(
            int(shape[0]),
            _product_dtype(getattr(matrix, "dtype", None)),
            getattr(matrix, "device", "cpu") if self._speaks_torch else "cpu",
            layout=getattr(matrix, "layout", ()) if not isinstance(matrix, Tensor) else (),
            terms=getattr(matrix, "terms", type(matrix).__name__),
        )

    def _multiply(self, block: Tensor) -> Tensor:
        # Column by column: `@` on blocks is not something that every foreign operator knows.
        columns = [self._multiply_one(column) for column in block.T]
        return torch.stack(columns, dim=1)

    def _multiply_one(self, vector: Tensor) -> Tensor:
        if self._speaks_torch:
            return (self._matrix @ vector.to(self._matrix.dtype)).to(self.dtype)
        product = np.asarray(self._matrix @ vector.cpu().numpy()).reshape(-1)
        return torch.from_numpy(product).to(self.dtype)


def as_operator(op: Any) -> CurvatureOperator:
    """Return ``op`` itself if it is a ``CurvatureOperator``, else wrap it (see :class:`WrappedOperator`)."""
    return op if isinstance(op, CurvatureOperator) else WrappedOperator(op)


def _product_dtype(dtype: Any) -> torch.dtype:
    """Float32 or float64, whichever holds the matrix; integers and unknown become float64."""
    if not isinstance(dtype, torch.dtype):
        dtype = torch.from_numpy(np.empty(0, dtype=dtype or np.float64)).dtype
    if dtype.is_complex:
        raise TypeError(f"a complex matrix ({dtype}) has no place here: curvature is real")
    if not dtype.is_floating_point:
        return torch.float64
    return torch.promote_types(dtype, torch.float32)
