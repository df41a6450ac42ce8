"""The generalised Gauss-Newton matrix of the loss."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from workbench.curvature.operators.autograd import Tensors, differentiable_gradient, vector_products
from workbench.curvature.operators.problem_operator import ProblemOperator, Product, hessian_product


class GGN(ProblemOperator):
    r"""Generalised Gauss-Newton matrix: the Hessian of the loss for the linearised model.

    .. math:: G = \sum_b \frac{w_b}{\sum_{b'} w_{b'}}\, J_b^\top\, \nabla^2_f\, \ell_b\, J_b

    with the Jacobian :math:`J_b` of the model's outputs f (all of them, for several heads). Positive
    semi-definite where the loss is convex in f.

    :math:`J v` is computed by two vector-Jacobian products, which works wherever double backward does.
    Cost per column about two gradients, and one to two more per ``@`` for the graph. Memory: the graph of one
    batch.
    Source: Schraudolph, "Fast curvature matrix-vector products", 2002.
    """

    def _batch_product(self, outputs: Any, loss: Tensor, parameters: Tensors, batch: Any) -> Product:
        leaves, structure = tree_flatten(outputs)
        places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor) and leaf.requires_grad]
        heads = [leaves[i] for i in places]
        # The same values, cut from the model: the loss as a function of the outputs alone.
        cut = [head.detach().requires_grad_() for head in heads]
        for i, leaf in zip(places, cut, strict=True):
            leaves[i] = leaf
        loss_hessian = hessian_product(self.problem.batch_loss(tree_unflatten(leaves, structure), batch), cut)
        # u -> Jᵀ u is linear, so its own vector-Jacobian product is v -> J v, at any u.
        dual = [head.new_zeros(head.shape).requires_grad_() for head in heads]
        pullback = differentiable_gradient(heads, parameters, dual)

        return partial(_multiply, pullback, dual, loss_hessian, heads, parameters)


def _multiply(
    pullback: Sequence[Tensor | None],
    dual: Tensors,
    loss_hessian: Product,
    heads: Tensors,
    parameters: Tensors,
    vectors: Tensors,
    *,
    batched: bool,
) -> Tensors:
    tangents = vector_products(pullback, dual, vectors, batched=batched)  # J v
    curved = loss_hessian(tangents, batched=batched)  # H J v
    return vector_products(heads, parameters, curved, batched=batched)  # Jᵀ H J v
