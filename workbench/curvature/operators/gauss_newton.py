"""``GaussNewton``: what all matrices of the form JᵀCJ share, J being the Jacobian of some outputs."""

import abc
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from workbench.batches import Batch
from workbench.curvature.operators.autograd import (
    Product,
    Tensors,
    differentiable_gradient,
    vector_products,
)
from workbench.curvature.operators.layer_calls import LayerCall
from workbench.curvature.operators.layered import LayeredOperator
from workbench.curvature.operators.structured import can_store, store, stored_bytes
from workbench.problem import Parameters


class GaussNewton(LayeredOperator):
    r"""A matrix :math:`\sum_b s_b\, J_b^\top C_b J_b` over batches b with shares :math:`s_b`.

    A new one is one method, :meth:`_heads`. :math:`J v` is computed by two vector-Jacobian products on a
    kept graph, which works wherever double backward does: about 1.5 gradients a column. Where all parameters
    belong to dense and convolutional layers that are used once, example by example, activations and output
    derivatives are stored instead: about one gradient a column, and less for each of several.
    """

    _twice = False

    @abc.abstractmethod
    def _heads(
        self, outputs: Any, loss: Tensor, parameters: Parameters, batch: Batch
    ) -> tuple[Tensors, Product]:
        """Return the tensors whose Jacobian J is, with their graph, and what multiplies with C.

        The parameters are those of :meth:`_batch_product`.
        """

    def batch_difference(self, batch: Any, direction: Tensor, step: float) -> Tensor:
        """Product (n,) with one batch's matrix, the outputs' derivative along it by central differences."""
        ends = [self._values(batch, shift * direction) for shift in (step, -step)]
        slopes = [(plus - minus) / (2 * step) for plus, minus in zip(*ends, strict=True)]
        leaves = self.problem.leaves()
        heads, curvature = self._heads(*self.problem.evaluate(leaves, batch), leaves, batch)
        curved = curvature(slopes, batched=False)
        parts = vector_products(heads, list(leaves.values()), curved, batched=False)
        return torch.cat([part.reshape(-1) for part in parts])

    def _values(self, batch: Batch, shift: Tensor) -> Tensors:
        """The outputs whose Jacobian J is, a step away from the problem's parameters."""
        parameters = self.problem.as_parameters(self.problem.parameters_vector() + shift)
        with torch.no_grad():
            return self._heads(*self.problem.evaluate(parameters, batch), parameters, batch)[0]

    def _batch_product(
        self, outputs: Any, loss: Tensor, parameters: Parameters, batch: Any
    ) -> "GraphProduct":
        heads, curvature = self._heads(outputs, loss, parameters, batch)
        return GraphProduct(heads, list(parameters.values()), curvature)

    def _layer_bytes(self, leaves: Parameters, batch: Batch) -> int | None:
        calls, (head, *others), _ = self._record_heads(leaves, batch)
        if others or not can_store(calls, head, list(leaves.values())):
            return None
        return stored_bytes(calls, head)

    def _store(self, leaves: Parameters, batch: Batch) -> Product:
        calls, heads, curvature = self._record_heads(leaves, batch)
        return store(calls, heads[0], curvature)

    def _record_heads(self, leaves: Parameters, batch: Batch) -> tuple[list[LayerCall], Tensors, Product]:
        """The layers that one batch goes through, the outputs they lead to, and what C is there."""
        calls, outputs, loss = self._record(leaves, batch)
        return calls, *self._heads(outputs, loss, leaves, batch)


class GraphProduct:
    """Multiplies with one batch's matrix by differentiating through its graph, which it keeps.

    Parameters
    ----------
    heads : list of Tensor
        Outputs with their graph.
    leaves : list of Tensor
        The parameters.
    curvature : callable
        Multiplies with C.
    """

    def __init__(self, heads: Tensors, leaves: Tensors, curvature: Product) -> None:
        self._heads, self._leaves, self._curvature = heads, leaves, curvature
        # u -> Jᵀ u is linear, so its own vector-Jacobian product is v -> J v, at any u.
        self._dual = [head.new_zeros(head.shape).requires_grad_() for head in heads]
        self._pullback: Sequence[Tensor | None] = differentiable_gradient(heads, leaves, self._dual)

    @property
    def shapes(self) -> list[torch.Size]:
        """Shapes of the outputs."""
        return [head.shape for head in self._heads]

    def push(self, vectors: Tensors, *, batched: bool) -> Tensors:
        """Return J v, one tensor per output; with ``batched`` all have a leading dimension."""
        return vector_products(self._pullback, self._dual, vectors, batched=batched)

    def pull(self, covectors: Tensors, *, batched: bool) -> Tensors:
        """Return Jᵀ u, one tensor per parameter."""
        return vector_products(self._heads, self._leaves, covectors, batched=batched)

    def __call__(self, vectors: Tensors, *, batched: bool) -> Tensors:
        tangents = self.push(vectors, batched=batched)
        return self.pull(self._curvature(tangents, batched=batched), batched=batched)
