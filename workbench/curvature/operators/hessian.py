"""The Hessian of the loss."""

from typing import Any

from torch import Tensor

from workbench.curvature.operators.autograd import Product, hessian_product
from workbench.curvature.operators.problem_operator import ProblemOperator
from workbench.problem import Parameters


class Hessian(ProblemOperator):
    r"""Hessian :math:`\nabla^2 L(\theta)` of the loss over the data, exact, by double backward.

    .. math:: H v = \nabla_\theta \langle \nabla_\theta L(\theta), v \rangle
       \qquad L(\theta) = \sum_b w_b\, \ell_b(\theta) \big/ \sum_b w_b

    Why not ``torch.func.hessian`` or ``jacrev``: on torch 2.13 they are wrong by several percent for a model
    with LayerNorm, and ``jvp(grad)`` raises for ``nn.MSELoss``, Huber and custom autograd Functions.

    What torch cannot see: a custom autograd Function whose backward returns numbers that were computed
    without a graph (fused losses that store their gradient in forward do) contributes nothing. Where there is
    a custom Function, the first product is preceded by a probe against central differences.

    Cost per column about two gradients, and about one more per ``@`` for the graph. Memory: the graph of one
    batch. Source: Pearlmutter, "Fast exact multiplication by the Hessian", 1994.
    """

    def _batch_product(self, outputs: Any, loss: Tensor, parameters: Parameters, batch: Any) -> Product:
        return hessian_product(loss, list(parameters.values()))
