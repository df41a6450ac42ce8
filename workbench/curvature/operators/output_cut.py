"""The outputs of a model, cut from it, so that the loss can be differentiated with respect to them."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from workbench.batches import Batch
from workbench.curvature.operators.autograd import Product, Tensors
from workbench.curvature.operators.footprint import has_content
from workbench.curvature.operators.loss_hessian import loss_hessian
from workbench.graph import reaches
from workbench.problem import Parameters, Problem


@dataclass(frozen=True)
class OutputCut:
    """Outputs of one batch that depend on the parameters.

    Attributes
    ----------
    heads : list of Tensor
        With their graph.
    leaves : list of Tensor
        The same values, cut from the model.
    loss : Tensor ()
        With its graph back to ``leaves``.
    """

    heads: Tensors
    leaves: Tensors
    loss: Tensor

    def curvature(self, problem: Problem, batch: Batch) -> Product:
        """Return what multiplies with the Hessian of the loss with respect to the outputs."""
        return loss_hessian(problem.loss, self.loss, self.leaves, problem.batch_targets(batch))


def cut_outputs(
    problem: Problem, outputs: Any, loss: Tensor, parameters: Parameters, batch: Batch
) -> OutputCut | None:
    """Cut the outputs from the model; None if the loss depends on the parameters in other ways, too."""
    items, structure = tree_flatten(outputs)
    places = [i for i, item in enumerate(items) if isinstance(item, Tensor) and item.requires_grad]
    heads = [items[i] for i in places]
    leaves = [head.detach().requires_grad_() for head in heads]
    for i, leaf in zip(places, leaves, strict=True):
        items[i] = leaf
    again = problem.batch_loss(tree_unflatten(items, structure), batch, parameters)
    precision = torch.finfo(problem.coarsest_dtype).eps
    same = not has_content(again) or torch.isclose(
        again.double(), loss.double(), rtol=1000 * precision, equal_nan=True
    )
    if not leaves or not same or reaches(again, parameters.values()):
        return None
    return OutputCut(heads, leaves, again)
