r"""Jacobian products of chains of dense layers, from activations and the slopes between the layers.

In the notation of :mod:`.dense_chain`, :math:`J v` is :math:`\dot a_L`, and :math:`J^\top u` goes back from
:math:`\delta_L = u` by :math:`\delta_l = \sigma_l' \circ W_{l+1}^\top \delta_{l+1}` with the gradients
:math:`\delta_l z_{l-1}^\top`: four matrix products a layer. Stored derivatives of the outputs take two, but
for a single column reading them takes longer, unless layers are many times as wide as the outputs.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from workbench.curvature.operators.autograd import Tensors
from workbench.curvature.operators.dense_chain import DenseLayer, are_joined
from workbench.curvature.operators.layer_calls import LayerCall
from workbench.curvature.operators.output_derivatives import FINE, are_close, gradient
from workbench.random_vectors import generator


class ChainJacobian:
    """Multiplies one vector with the Jacobian of one batch's outputs, or its transpose.

    Parameters
    ----------
    layers : sequence of DenseLayer
    slopes : sequence of Tensor (N, width)
        Derivatives of the functions between them, which act entry by entry; one fewer.
    """

    def __init__(self, layers: Sequence[DenseLayer], slopes: Sequence[Tensor]) -> None:
        self._layers, self._slopes = layers, slopes

    def push(self, vectors: Tensors) -> Tensor:
        """Change (N, C) of the outputs along changes of the parameters."""
        change = self._layers[0].push(vectors, None)
        for layer, slope in zip(self._layers[1:], self._slopes, strict=True):
            change = layer.push(vectors, change.mul_(slope))
        return change

    def pull(self, covector: Tensor) -> Tensors:
        """One tensor per parameter for (N, C) of the outputs."""
        places = [place for layer in self._layers for place in (layer.weight, layer.bias)]
        parts = [covector] * sum(place is not None for place in places)  # all replaced
        for layer, slope in zip(self._layers[:0:-1], self._slopes[::-1], strict=True):
            layer.pull(covector, parts)
            covector = (covector @ layer.matrix).mul_(slope)
        self._layers[0].pull(covector, parts)
        return parts


def chain_jacobian(calls: Sequence[LayerCall], head: Tensor) -> ChainJacobian | None:
    """The chain that leads to outputs (N, C), or None where these layers are none.

    Parameters
    ----------
    calls : sequence of LayerCall
        Of the pass that led to ``head``, with their graph; each parameter is used once.
    head : Tensor
    """
    if not are_joined(calls, head) or torch.finfo(head.dtype).eps > FINE:
        return None
    layers = [
        DenseLayer(call.weight, call.bias, call.values, call.input.detach())
        for call in calls
        if call.weight is not None  # are_joined() saw to it
    ]
    slopes = [
        gradient(later.input, earlier.output, torch.ones_like(later.input))
        for earlier, later in pairwise(calls)
    ]
    return ChainJacobian(layers, slopes) if _leads_to(head, calls, slopes) else None


def _leads_to(head: Tensor, calls: Sequence[LayerCall], slopes: Sequence[Tensor]) -> bool:
    """Whether derivatives of ``head`` go back through weights and slopes alone, tried with a random seed.

    They do not where a function mixes entries, goes past a layer, or comes after the last one.
    """
    expected = torch.randn(head.shape, generator=generator(0)).to(head)
    found = torch.autograd.grad(
        head,
        [call.output for call in calls],
        expected,
        retain_graph=True,
        allow_unused=True,
        materialize_grads=True,
    )
    derivatives = list(found)
    same = are_close(derivatives.pop(), expected)
    for layer, slope in zip(calls[:0:-1], slopes[::-1], strict=True):
        expected = (expected @ layer.values) * slope
        same = same and are_close(derivatives.pop(), expected)
    return same


def chain_multiplications(calls: Sequence[LayerCall]) -> int:
    """How many the matrix products of all layers but the first take on the way forward or back."""
    return sum(call.input.numel() * len(call.values) for call in calls[1:])


def slope_numbers(calls: Sequence[LayerCall]) -> int:
    """How many slopes are kept."""
    return sum(call.input.numel() for call in calls[1:])
