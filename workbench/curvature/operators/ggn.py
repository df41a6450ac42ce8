"""The generalised Gauss-Newton matrix of the loss."""

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from workbench.batches import Batch
from workbench.curvature.operators.autograd import Product, Tensors, vector_products
from workbench.curvature.operators.gauss_newton import GaussNewton
from workbench.curvature.operators.output_cut import cut_outputs
from workbench.problem import Parameters


class GGN(GaussNewton):
    r"""Generalised Gauss-Newton matrix: the Hessian of the loss for the linearised model.

    .. math:: G = \sum_b \frac{w_b}{\sum_{b'} w_{b'}}\, J_b^\top\, \nabla^2_f\, \ell_b\, J_b

    with the Jacobian :math:`J_b` of the model's outputs f (all of them, for several heads). Positive
    semi-definite where the loss is convex in f.

    Source: Schraudolph, "Fast curvature matrix-vector products", 2002.
    """

    def _heads(
        self, outputs: Any, loss: Tensor, parameters: Parameters, batch: Batch
    ) -> tuple[Tensors, Product]:
        cut = cut_outputs(self.problem, outputs, loss, parameters, batch)
        if cut is None:
            raise ValueError(
                "the loss depends on the parameters in other ways than through tensors in the outputs: let "
                "forward= return a tensor, or tuples, lists and dicts of tensors, and pass what is added to "
                "the loss as regularizer="
            )
        return cut.heads, cut.curvature(self.problem, batch)

    def batch_difference(self, batch: Any, direction: Tensor, step: float) -> Tensor:
        """Product (n,) with one batch's matrix, both derivatives in it by central differences."""
        problem = self.problem
        theta = problem.parameters_vector()
        ends = []
        with torch.no_grad():
            for shift in (step, -step):
                moved = problem.outputs(problem.as_parameters(theta + shift * direction), batch)
                ends.append([item for item in tree_flatten(moved)[0] if isinstance(item, Tensor)])
        parameters = self.problem.leaves()
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
