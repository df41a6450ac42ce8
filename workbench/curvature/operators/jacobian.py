"""The Jacobian of the model's outputs, and the Gram matrix of its rows (the empirical tangent kernel)."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten

from workbench.batches import Batch
from workbench.curvature.operators.autograd import Product, Tensors
from workbench.curvature.operators.base import CurvatureOperator
from workbench.curvature.operators.gauss_newton import GaussNewton
from workbench.curvature.operators.second_derivative import second_derivatives
from workbench.problem import Parameters, Problem

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator


class Jacobian:
    r"""Jacobian :math:`J = \partial f / \partial \theta` (m × n) of all outputs for all examples.

    Rows stand in the order of the data; within a batch as the outputs are laid out, several heads one after
    the other. ``J @ v`` and ``J.T @ u`` take vectors and blocks of columns.

    Parameters
    ----------
    problem : Problem
        What is analysed.
    memory : int or str, optional
        What may be kept between products, see :class:`~.problem_operator.ProblemOperator`.
    check : bool
        Probe products with the Jacobian against differences of the outputs before the first one.
    """

    def __init__(self, problem: Problem, *, memory: int | str | None = None, check: bool = True) -> None:
        self._products = _Outputs(problem, memory=memory, check=check)
        self.problem = problem
        self.dtype, self.device = self._products.dtype, self._products.device
        with torch.no_grad():
            parameters = problem.parameters()
            sizes = [_size(problem.outputs(parameters, batch)) for batch, _ in problem.batches()]
        self.shape = (sum(sizes), problem.num_parameters)

    def __matmul__(self, vectors: Tensor) -> Tensor:
        """Change of all outputs (m,) or (m, k) along vectors (n,) or (n, k). About one gradient a column."""
        block = self._block(vectors, self.shape[1])
        rows = torch.cat(
            [_flat(each, block.shape[1]) for each in self._products.push(block.T.contiguous())], 1
        )
        return rows[0] if vectors.dim() == 1 else rows.T

    @property
    def T(self) -> "TransposedJacobian":
        """The transpose (n × m)."""
        return TransposedJacobian(self)

    def pull(self, covectors: Tensor) -> Tensor:
        """``J.T @ covectors`` for (m,) or (m, k): (n,) or (n, k)."""
        block = self._block(covectors, self.shape[0])
        product = self._products.pull(block.T.contiguous())
        return product[0] if covectors.dim() == 1 else product.T

    def to_scipy(self) -> "LinearOperator":
        """Return the same matrix for SciPy, in NumPy arrays on the CPU."""
        from scipy.sparse.linalg import LinearOperator

        def forward(vectors: np.ndarray) -> np.ndarray:
            return (self @ torch.from_numpy(np.ascontiguousarray(vectors))).cpu().numpy()

        def backward(vectors: np.ndarray) -> np.ndarray:
            return self.pull(torch.from_numpy(np.ascontiguousarray(vectors))).cpu().numpy()

        dtype = torch.empty(0, dtype=self.dtype).numpy().dtype
        return LinearOperator(
            self.shape, matvec=forward, rmatvec=backward, matmat=forward, rmatmat=backward, dtype=dtype
        )

    def __repr__(self) -> str:
        return f"Jacobian({self.shape[0]} × {self.shape[1]}, {str(self.dtype).removeprefix('torch.')})"

    def _block(self, vectors: Tensor, length: int) -> Tensor:
        if not isinstance(vectors, Tensor) or vectors.is_complex():
            raise TypeError(f"a {type(vectors).__name__} cannot be multiplied: pass a real torch tensor")
        if vectors.dim() not in (1, 2) or len(vectors) != length:
            raise ValueError(f"shape {tuple(vectors.shape)} does not fit: pass ({length},) or ({length}, k)")
        block = vectors.detach().to(device=self.device, dtype=self.dtype)
        return block[:, None] if block.dim() == 1 else block


class TransposedJacobian:
    """The transpose of a Jacobian, for ``J.T @ u``."""

    def __init__(self, jacobian: Jacobian) -> None:
        self.T = jacobian
        self.shape = jacobian.shape[::-1]
        self.dtype, self.device = jacobian.dtype, jacobian.device

    def __matmul__(self, covectors: Tensor) -> Tensor:
        return self.T.pull(covectors)


class TangentKernel(CurvatureOperator):
    r"""Gram matrix :math:`J J^\top` (m × m) of the outputs' gradients: the empirical neural tangent kernel.

    Cost per column about one and a half gradients. With the mean squared error its eigenvalues are, up to the
    factor of the loss, those of the Gauss-Newton matrix that are not zero.
    Source: Jacot, Gabriel, Hongler, "Neural tangent kernel", 2018.
    """

    def __init__(self, jacobian: Jacobian) -> None:
        super().__init__(jacobian.shape[0], jacobian.dtype, jacobian.device, terms="tangent kernel")
        self.jacobian = jacobian

    def _multiply(self, block: Tensor) -> Tensor:
        return self.jacobian @ self.jacobian.pull(block)


class _Outputs(GaussNewton):
    """JᵀJ of the outputs; here for the two halves of its products, which graphs and stored layers offer."""

    def push(self, rows: Tensor) -> list[Tensors]:
        """J v of each batch for rows (k, n), each output with k leading."""
        vectors = self._split(rows)
        return [
            _each(product.push, vectors, len(rows), together=self.plan().at_once)
            for product in self._batches_of_products()
        ]

    def pull(self, rows: Tensor) -> Tensor:
        """Jᵀ u (k, n) for rows (k, m)."""
        total = torch.zeros(len(rows), self.shape[0], dtype=self.dtype, device=self.device)
        start = 0
        for product in self._batches_of_products():
            shapes = product.shapes
            covectors = []
            for shape in shapes:
                stop = start + shape.numel()
                covectors.append(rows[:, start:stop].reshape(len(rows), *shape))
                start = stop
            parts = _each(product.pull, covectors, len(rows), together=self.plan().at_once)
            self._add(parts, 1.0, total)
        return total

    def _batches_of_products(self) -> Any:
        with torch.inference_mode(False), torch.enable_grad(), second_derivatives():
            for product, _ in self._products():
                yield product

    def _heads(
        self, outputs: Any, loss: Tensor, parameters: Parameters, batch: Batch
    ) -> tuple[Tensors, Product]:
        return [item for item in tree_flatten(outputs)[0] if isinstance(item, Tensor)], _unchanged


def _unchanged(vectors: Tensors, *, batched: bool) -> Tensors:
    return vectors


def _each(multiply: Product, vectors: Tensors, count: int, *, together: bool) -> Tensors:
    """All columns at once, or one by one."""
    if together:
        return multiply(vectors, batched=True)
    columns = [multiply([vector[i] for vector in vectors], batched=False) for i in range(count)]
    return [torch.stack(parts) for parts in zip(*columns, strict=True)]


def _flat(outputs: Tensors, count: int) -> Tensor:
    return torch.cat([output.reshape(count, -1) for output in outputs], dim=1)


def _size(outputs: Any) -> int:
    return sum(item.numel() for item in tree_flatten(outputs)[0] if isinstance(item, Tensor))
