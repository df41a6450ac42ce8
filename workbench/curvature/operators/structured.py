r"""Gauss-Newton products from stored activations and output derivatives, past the depth of the network.

For a dense layer with inputs :math:`a_n` and outputs :math:`s_n = W a_n + b`, the derivative of the network's
outputs :math:`f_n` along a change V of W is :math:`D_n V a_n`, where :math:`D_n = \partial f_n/\partial s_n`.
With both stored, a product takes two matrix products for each layer, where differentiating
through the network takes four. At the last two layers :math:`D_n` often has a form that takes next to no
memory. Reading it for a single column may take longer than the two products that are saved: then that one
goes along the chain of layers (:mod:`.chain_jacobian`).
"""

import abc
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv2d_weight

from workbench.curvature.operators.autograd import Product, Tensors
from workbench.curvature.operators.chain_jacobian import (
    ChainJacobian,
    chain_jacobian,
    chain_multiplications,
    slope_numbers,
)
from workbench.curvature.operators.layer_calls import LayerCall
from workbench.curvature.operators.output_derivatives import (
    OutputDerivatives,
    StoredDerivatives,
    output_derivatives,
    short_forms,
)
from workbench.progress import still_at_work

_READING = 64  # multiplications in the time that reading a number takes where it is not in a cache


class StoredLayer(abc.ABC):
    """One layer's inputs, and the derivatives of all network outputs with respect to its outputs.

    Shapes: N examples, k columns, C outputs of the network, P outputs of the layer per example.

    Parameters
    ----------
    call : LayerCall
    derivatives : OutputDerivatives
    """

    def __init__(self, call: LayerCall, derivatives: OutputDerivatives) -> None:
        self.weight, self.bias, self.shape = call.weight, call.bias, call.values.shape
        self.input = call.input.detach()
        self.output_shape = tuple(call.output.shape[1:])  # of one example
        self.derivatives = derivatives

    @abc.abstractmethod
    def _outputs(self, weights: Tensor, bias: Tensor | None) -> Tensor:
        """Outputs (N, k, P) of the layer for weights (k, …) and a bias (k, channels), in new memory."""

    @abc.abstractmethod
    def _weight_gradients(self, delta: Tensor) -> Tensor:
        """Gradients (k, …) of the weights for gradients (N, k, P) of the outputs."""

    @property
    @abc.abstractmethod
    def _channels(self) -> int:
        """Which dimension of ``output_shape`` the bias belongs to."""

    def push(self, vectors: Tensors) -> Tensor:
        """Change of the network's outputs (N, k, C) along changes (k, …) of the parameters."""
        bias = None if self.bias is None else vectors[self.bias]
        if self.weight is not None:
            return self.derivatives.push(self._outputs(vectors[self.weight], bias))
        assert bias is not None  # a call has one of the two
        return self.derivatives.push(self._constant(bias))

    def _constant(self, bias: Tensor) -> Tensor:
        """A bias (k, channels) as outputs (N, k, P), the same for each example."""
        broadcast = [1] * len(self.output_shape)
        broadcast[self._channels] = -1
        one = bias.view(len(bias), *broadcast).expand(-1, *self.output_shape).reshape(len(bias), -1)
        return one.repeat(len(self.input), 1, 1)

    def pull(self, curved: Tensor, parts: list[Tensor | None]) -> None:
        """Put the gradients (k, …) for changes (N, k, C) of the outputs into the places of the parameters."""
        delta = self.derivatives.pull(curved)
        if self.weight is not None:
            parts[self.weight] = self._weight_gradients(delta)
        if self.bias is not None:
            # A matrix product sums over the examples faster than sum().
            places = (delta.new_ones(1, len(delta)) @ delta.flatten(1)).view(-1, *self.output_shape)
            first = places.movedim(1 + self._channels, 1)
            parts[self.bias] = first.reshape(*first.shape[:2], -1).sum(2)


class StoredDense(StoredLayer):
    """A dense layer, at one or more positions of each example."""

    def _outputs(self, weights: Tensor, bias: Tensor | None) -> Tensor:
        flat = None if bias is None else bias.reshape(-1)
        product = F.linear(self._rows, weights.reshape(-1, self.shape[1]), flat)  # (N · positions, k · out)
        places = product.view(len(self.input), -1, len(weights), self.shape[0])
        return places.transpose(1, 2).reshape(len(self.input), len(weights), -1)

    def _weight_gradients(self, delta: Tensor) -> Tensor:
        count, k, _ = delta.shape
        places = delta.view(count, k, -1, self.shape[0]).transpose(1, 2)
        return (places.reshape(len(self._rows), -1).T @ self._rows).view(k, *self.shape)

    @property
    def _rows(self) -> Tensor:
        return self.input.reshape(-1, self.shape[1])  # (N · positions, in)

    @property
    def _channels(self) -> int:
        return len(self.output_shape) - 1


class StoredConvolution(StoredLayer):
    """A convolution in two dimensions; k of them are one with k times the channels."""

    def __init__(self, call: LayerCall, derivatives: OutputDerivatives) -> None:
        super().__init__(call, derivatives)
        self._options = call.convolution or {}

    def _outputs(self, weights: Tensor, bias: Tensor | None) -> Tensor:
        flat = None if bias is None else bias.reshape(-1)
        maps = F.conv2d(self.input, weights.reshape(-1, *self.shape[1:]), flat, **self._options)
        return maps.reshape(len(self.input), len(weights), -1)

    def _weight_gradients(self, delta: Tensor) -> Tensor:
        count, k, _ = delta.shape
        maps = delta.view(count, -1, *self.output_shape[1:])
        shape = (k * self.shape[0], *self.shape[1:])
        return conv2d_weight(self.input, shape, maps, **self._options).view(k, *self.shape)

    @property
    def _channels(self) -> int:
        return 0


def can_store(calls: Sequence[LayerCall], head: Tensor, parameters: Tensors) -> bool:
    """Whether each parameter is used by one layer, example by example, on the way to one output (N, C)."""
    places = [place for call in calls for place in (call.weight, call.bias) if place is not None]
    if head.dim() != 2 or sorted(places) != list(range(len(parameters))):
        return False
    count = len(head)
    plain = [call.convolution is None or _is_plain(call.convolution) for call in calls]
    return all(plain) and all(
        len(call.input) == len(call.output) == count and call.input.dim() > 1 for call in calls
    )


def stored_bytes(calls: Sequence[LayerCall], head: Tensor) -> int | None:
    """Bytes of the activations and derivatives; None where storing them does not pay.

    It pays where two matrix products a layer, with the passes over the derivatives, are less work than four.
    """
    short = short_forms(calls, head)
    stored = sum(call.output.numel() * head.shape[1] for call in calls[: len(calls) - len(short)])
    numbers = stored + sum(form.numbers for form in short)
    dense = sum(call.values[0].numel() * call.output.numel() for call in calls)
    # a pass over memory takes about twice a matrix product's time per number
    if dense < 4 * numbers + sum(form.multiplications for form in short):
        return None
    kept = numbers + (slope_numbers(calls) if _chain(calls, head, stored) else 0)
    return sum(call.input.numel() * call.input.itemsize for call in calls) + kept * head.itemsize


def _chain(calls: Sequence[LayerCall], head: Tensor, stored: int) -> ChainJacobian | None:
    """The chain of these layers where it is faster for a single column than ``stored`` numbers are."""
    return chain_jacobian(calls, head) if chain_multiplications(calls) < _READING * stored else None


def store(calls: Sequence[LayerCall], head: Tensor, curvature: Product) -> "StructuredProduct":
    """Compute the derivatives, about one backward pass per output of the network.

    Parameters
    ----------
    calls : sequence of LayerCall
        Of the pass that led to ``head``.
    head : Tensor (N, C)
        The outputs, with their graph.
    curvature : callable
        Multiplies with the matrix between the two Jacobians.
    """
    derivatives = output_derivatives(calls, head)
    layers = [
        (StoredDense if call.convolution is None else StoredConvolution)(call, each)
        for call, each in zip(calls, derivatives, strict=True)
    ]
    stored = sum(each.numbers for each in derivatives if isinstance(each, StoredDerivatives))
    return StructuredProduct(layers, curvature, head.shape, _chain(calls, head, stored))


class StructuredProduct:
    """Multiplies with one batch's Gauss-Newton matrix, any number of columns at once.

    Parameters
    ----------
    layers : sequence of StoredLayer
    curvature : callable
        Multiplies with the matrix between the two Jacobians.
    shape : torch.Size
        Shape (N, C) of the outputs.
    chain : ChainJacobian, optional
        Takes the single columns.
    """

    def __init__(
        self,
        layers: Sequence[StoredLayer],
        curvature: Product,
        shape: torch.Size,
        chain: ChainJacobian | None,
    ) -> None:
        self._layers = layers
        self._curvature = curvature
        self._shape = shape
        self._chain = chain

    @property
    def shapes(self) -> list[torch.Size]:
        """Shape (N, C) of the one output."""
        return [self._shape]

    def push(self, vectors: Tensors, *, batched: bool) -> Tensors:
        """Return J v (N, C); with ``batched`` vectors and result have a leading dimension."""
        still_at_work()
        rows = [vector.to(self._layers[0].input.dtype) for vector in vectors]
        if self._chain is not None and not batched:
            with torch.no_grad():
                return [self._chain.push(rows)]
        rows = rows if batched else [vector[None] for vector in rows]
        with torch.no_grad():
            changes = self._layers[0].push(rows)
            for layer in self._layers[1:]:
                changes = changes + layer.push(rows)
        columns = changes.transpose(0, 1)  # (k, N, C)
        return [columns if batched else columns[0]]

    def pull(self, covectors: Tensors, *, batched: bool) -> Tensors:
        """Return Jᵀ u, one tensor per parameter."""
        still_at_work()
        if self._chain is not None and not batched:
            with torch.no_grad():
                return self._chain.pull(covectors[0].to(self._layers[0].input.dtype))
        (rows,) = covectors if batched else [covectors[0][None]]
        columns = rows.to(self._layers[0].input.dtype).transpose(0, 1).contiguous()  # (N, k, C)
        places = [place for layer in self._layers for place in (layer.weight, layer.bias)]
        parts: list[Tensor | None] = [None] * (1 + max(place for place in places if place is not None))
        with torch.no_grad():
            for layer in self._layers:
                layer.pull(columns, parts)
        found = [part for part in parts if part is not None]
        assert len(found) == len(parts)  # can_store() saw to it
        return found if batched else [part[0] for part in found]

    def __call__(self, vectors: Tensors, *, batched: bool) -> Tensors:
        tangents = self.push(vectors, batched=batched)
        return self.pull(self._curvature(tangents, batched=batched), batched=batched)


def _is_plain(convolution: dict[str, Any]) -> bool:
    return convolution.get("groups", 1) == 1 and not isinstance(convolution.get("padding", 0), str)
