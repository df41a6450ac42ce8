"""The generalised Gauss-Newton matrix of the loss."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from workbench.batches import Batch, count_examples
from workbench.curvature.operators.autograd import (
    Product,
    Tensors,
    differentiable_gradient,
    vector_products,
)
from workbench.curvature.operators.layer_calls import LayerCall, RecordLayers
from workbench.curvature.operators.loss_hessian import loss_hessian
from workbench.curvature.operators.problem_operator import ProblemOperator
from workbench.curvature.operators.structured import can_store, pays, store, stored_bytes
from workbench.curvature.operators.work_plan import STRUCTURED, WorkPlan
from workbench.graph import graph_nodes, reaches
from workbench.memory import show_bytes
from workbench.problem import Parameters
from workbench.random_vectors import generator, random_vectors

_STORED = 16  # examples on which stored layers are tried


class GGN(ProblemOperator):
    r"""Generalised Gauss-Newton matrix: the Hessian of the loss for the linearised model.

    .. math:: G = \sum_b \frac{w_b}{\sum_{b'} w_{b'}}\, J_b^\top\, \nabla^2_f\, \ell_b\, J_b

    with the Jacobian :math:`J_b` of the model's outputs f (all of them, for several heads). Positive
    semi-definite where the loss is convex in f.

    :math:`J v` is computed by two vector-Jacobian products on a kept graph, which works wherever double
    backward does: about 1.5 gradients a column. Where all parameters belong to dense and convolutional layers
    that are used once, example by example, activations and output derivatives are stored instead: about one
    gradient a column, and less for each of several.
    Source: Schraudolph, "Fast curvature matrix-vector products", 2002.
    """

    def _batch_product(self, outputs: Any, loss: Tensor, parameters: Parameters, batch: Any) -> Product:
        leaves = list(parameters.values())
        heads, cut, cut_loss = self._cut(outputs, loss, parameters, batch)
        curvature = loss_hessian(self.problem.loss, cut_loss, cut, self.problem.batch_targets(batch))
        # u -> Jᵀ u is linear, so its own vector-Jacobian product is v -> J v, at any u.
        dual = [head.new_zeros(head.shape).requires_grad_() for head in heads]
        pullback = differentiable_gradient(heads, leaves, dual)
        return partial(_multiply, pullback, dual, curvature, heads, leaves)

    def _cut(
        self, outputs: Any, expected: Tensor, parameters: Parameters, batch: Any
    ) -> tuple[Tensors, Tensors, Tensor]:
        """Outputs that depend on the parameters, the same values cut from the model, and their loss."""
        items, structure = tree_flatten(outputs)
        places = [i for i, item in enumerate(items) if isinstance(item, Tensor) and item.requires_grad]
        heads = [items[i] for i in places]
        cut = [head.detach().requires_grad_() for head in heads]
        for i, head in zip(places, cut, strict=True):
            items[i] = head
        loss = self.problem.batch_loss(tree_unflatten(items, structure), batch, parameters)
        same = torch.isclose(loss.double(), expected.double(), rtol=1000 * self.precision, equal_nan=True)
        if not cut or not same or reaches(loss, parameters.values()):
            raise ValueError(
                "the loss depends on the parameters in other ways than through tensors in the outputs: let "
                "forward= return a tensor, or tuples, lists and dicts of tensors, and pass what is added to "
                "the loss as regularizer="
            )
        return heads, cut, loss

    def _build(self, leaves: Parameters, batch: Batch, method: str = "recompute") -> Product:
        if method != STRUCTURED:
            return super()._build(leaves, batch, method)
        calls, head, curvature = self._record(leaves, batch)
        return store(calls, head, curvature)

    def _record(self, leaves: Parameters, batch: Batch) -> tuple[list[LayerCall], Tensor, Product]:
        """The layers that one batch goes through, the output they lead to, and the loss' Hessian there."""
        record = RecordLayers(list(leaves.values()))
        with record:
            outputs, loss = self.problem.evaluate(leaves, batch)
        heads, cut, cut_loss = self._cut(outputs, loss, leaves, batch)
        if not can_store(record.calls, heads, list(leaves.values())):
            return [], heads[0], partial(_multiply)
        curvature = loss_hessian(self.problem.loss, cut_loss, cut, self.problem.batch_targets(batch))
        return record.calls, heads[0], curvature

    def _arrange(self, budget: int) -> WorkPlan:
        """Store layers where that is possible, right and worth it; else graphs."""
        plan = self._arrange_layers(budget)
        if plan is not None:
            return plan
        plan = super()._arrange(budget)
        # A block of vectors through a convolution is a grouped convolution, which is slower than a loop.
        return replace(plan, at_once=not self._convolves() and self._can_batch())

    def _arrange_layers(self, budget: int) -> WorkPlan | None:
        leaves, batch = self._leaves(), self.problem.small_batch(_STORED)
        calls, head, _ = self._record(leaves, batch)
        if not calls or not pays(calls, head):
            return None
        each = stored_bytes(calls, head) / count_examples(batch)
        sizes = [math.ceil(each * count_examples(batch)) for batch, _ in self.problem.batches()]
        if sum(sizes) > budget or not self._stores_rightly(leaves, batch):
            return None
        return WorkPlan(
            STRUCTURED,
            f"activations and output derivatives of {len(calls)} layers take {show_bytes(sum(sizes))}",
            budget,
            kept_bytes=sum(sizes),
            kept=tuple(range(len(sizes))),
            batches=len(sizes),
            at_once=True,
        )

    def _stores_rightly(self, leaves: Parameters, batch: Batch) -> bool:
        """Whether stored layers agree with differentiating through the network, on a small batch.

        They do not where a parameter is used outside of its layer, or examples look at one another.
        """
        vectors = self._split(random_vectors(1, self.shape[0], generator(0))[0].to(self.device, self.dtype))
        expected = self._build(leaves, batch)(vectors, batched=False)
        stored = self._build(leaves, batch, STRUCTURED)(vectors, batched=False)
        scale = max(float(part.abs().max()) for part in expected if part.numel())
        return all(
            torch.allclose(part.to(other.dtype), other, rtol=0, atol=1000 * self.precision * scale)
            for part, other in zip(stored, expected, strict=True)
        )

    def _convolves(self) -> bool:
        outputs, _ = self.problem.evaluate(self._leaves(), self.problem.small_batch(1))
        heads = [item for item in tree_flatten(outputs)[0] if isinstance(item, Tensor)]
        return any("Convolution" in node.name() for head in heads for node in graph_nodes(head))

    def batch_difference(self, batch: Any, direction: Tensor, step: float) -> Tensor:
        """Product (n,) with one batch's matrix, both derivatives in it by central differences."""
        problem = self.problem
        theta = problem.parameters_vector()
        ends = []
        with torch.no_grad():
            for shift in (step, -step):
                moved = problem.outputs(problem.as_parameters(theta + shift * direction), batch)
                ends.append([item for item in tree_flatten(moved)[0] if isinstance(item, Tensor)])
        parameters = self._leaves()
        outputs = problem.outputs(parameters, batch)
        items, structure = tree_flatten(outputs)
        tensors = [i for i, item in enumerate(items) if isinstance(item, Tensor)]
        tangents = {
            i: (plus - minus) / (2 * step)
            for i, plus, minus in zip(tensors, *ends, strict=True)
            if items[i].requires_grad
        }

        def loss_gradient(shift: float) -> list[Tensor]:
            shifted = list(items)
            for i, tangent in tangents.items():
                shifted[i] = (items[i].detach() + shift * tangent).requires_grad_()
            loss = problem.batch_loss(tree_unflatten(shifted, structure), batch, parameters)
            return list(
                torch.autograd.grad(
                    loss, [shifted[i] for i in tangents], allow_unused=True, materialize_grads=True
                )
            )

        curved = [
            (plus - minus) / (2 * step)
            for plus, minus in zip(loss_gradient(step), loss_gradient(-step), strict=True)
        ]
        leaves = list(parameters.values())
        parts = vector_products([items[i] for i in tangents], leaves, curved, batched=False)
        return torch.cat([part.reshape(-1) for part in parts])


def _multiply(
    pullback: Sequence[Tensor | None],
    dual: Tensors,
    curvature: Product,
    heads: Tensors,
    parameters: Tensors,
    vectors: Tensors,
    *,
    batched: bool,
) -> Tensors:
    tangents = vector_products(pullback, dual, vectors, batched=batched)  # J v
    curved = curvature(tangents, batched=batched)  # H J v
    return vector_products(heads, parameters, curved, batched=batched)  # Jᵀ H J v
