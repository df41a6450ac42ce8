"""The Hessian of the loss."""

from typing import Any

from torch import Tensor

from workbench.batches import Batch
from workbench.curvature.operators.autograd import Product, hessian_product
from workbench.curvature.operators.dense_chain import chain_bytes, is_chain, store_chain
from workbench.curvature.operators.layer_calls import LayerCall
from workbench.curvature.operators.layered import LayeredOperator
from workbench.curvature.operators.output_cut import OutputCut, cut_outputs
from workbench.problem import Parameters


class Hessian(LayeredOperator):
    r"""Hessian :math:`\nabla^2 L(\theta)` of the loss over the data, exact, by double backward.

    .. math:: H v = \nabla_\theta \langle \nabla_\theta L(\theta), v \rangle
       \qquad L(\theta) = \sum_b w_b\, \ell_b(\theta) \big/ \sum_b w_b

    Why not ``torch.func.hessian`` or ``jacrev``: on torch 2.13 they are wrong by several percent for a model
    with LayerNorm, and ``jvp(grad)`` raises for ``nn.MSELoss``, Huber and custom autograd Functions.

    What torch cannot see: a custom autograd Function whose backward returns numbers that were computed
    without a graph (fused losses that store their gradient in forward do) contributes nothing. Where there is
    a custom Function, the first product is preceded by a probe against central differences.

    Cost per column about two gradients, and about one more per ``@`` for a graph that is not kept. Memory:
    the graph of one batch. Of a chain of dense layers, activations and derivatives are stored instead: about
    1.2 gradients a column (:mod:`.dense_chain`).
    Source: Pearlmutter, "Fast exact multiplication by the Hessian", 1994.
    """

    def _layer_bytes(self, leaves: Parameters, batch: Batch) -> int | None:
        calls, cut, _ = self._record_cut(leaves, batch)
        return None if cut is None else chain_bytes(calls)

    def _store(self, leaves: Parameters, batch: Batch) -> Product:
        calls, cut, loss = self._record_cut(leaves, batch)
        if cut is None:  # not every batch goes the same way, or autocast came in between
            return self._build(leaves, batch)
        return store_chain(calls, cut.heads[0], loss, cut.curvature(self.problem, batch))

    def _record_cut(
        self, leaves: Parameters, batch: Batch
    ) -> tuple[list[LayerCall], OutputCut | None, Tensor]:
        """The layers that one batch goes through, its outputs if the layers are a chain to them, its loss."""
        calls, outputs, loss = self._record(leaves, batch)
        cut = cut_outputs(self.problem, outputs, loss, leaves, batch)
        chained = cut is not None and len(cut.heads) == 1 and is_chain(calls, cut.heads[0], leaves)
        return calls, cut if chained else None, loss

    def _batch_product(self, outputs: Any, loss: Tensor, parameters: Parameters, batch: Any) -> Product:
        return hessian_product(loss, list(parameters.values()))
