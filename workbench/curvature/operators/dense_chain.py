r"""Hessian products of chains of dense layers, from stored activations and their derivatives.

A chain is :math:`a_l = W_l z_{l-1} + c_l` and :math:`z_l = \sigma_l(a_l)`, entry by entry, from the inputs
:math:`z_0` to the outputs :math:`a_L` of the network. With :math:`\delta_l = \partial L/\partial a_l`, the
derivatives along a change V of the weights and b of the biases, written with a dot, are

.. math:: \dot a_l = V_l z_{l-1} + W_l \dot z_{l-1} + b_l \qquad \dot z_l = \sigma_l'(a_l) \circ \dot a_l

.. math:: \dot\delta_L = \nabla^2_{a_L} L\, \dot a_L \qquad
   \dot\delta_l = \sigma_l' \circ (W_{l+1}^\top \dot\delta_{l+1} + V_{l+1}^\top \delta_{l+1})
   + \sigma_l'' \circ (W_{l+1}^\top \delta_{l+1}) \circ \dot a_l

and the product is :math:`\dot\delta_l z_{l-1}^\top + \delta_l \dot z_{l-1}^\top`. What bears no dot is
stored. That leaves six matrix products a layer and a few passes over memory, where differentiating a retained
graph makes many.

Source: Pearlmutter, "Fast exact multiplication by the Hessian", 1994, section 4.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from workbench.curvature.operators.autograd import Product, Tensors
from workbench.curvature.operators.layer_calls import LayerCall
from workbench.progress import still_at_work

_TOGETHER = 1 << 20  # entries of the widest layer's outputs, of all columns that are multiplied together


@dataclass(frozen=True)
class DenseLayer:
    """What is stored of a layer over R rows: examples, or their positions.

    Attributes
    ----------
    weight, bias : int and int or None
        Their places among the parameters.
    matrix : Tensor (out, in)
        The weight.
    input : Tensor (R, in)
    """

    weight: int
    bias: int | None
    matrix: Tensor
    input: Tensor

    def push(self, vectors: Tensors, inner: Tensor | None) -> Tensor:
        """Change (…, R, out) of the outputs along vectors (…, each parameter) and a change of the inputs."""
        change = self.input @ vectors[self.weight].mT
        if inner is not None:
            _add_product(change, inner, self.matrix.T)
        return change if self.bias is None else change.add_(vectors[self.bias].unsqueeze(-2))

    def pull(self, outer: Tensor, parts: list[Tensor]) -> None:
        """Put the parameters' gradients for one (…, R, out) of the outputs into their places."""
        parts[self.weight] = outer.mT @ self.input
        if self.bias is not None:
            parts[self.bias] = outer.sum(dim=-2)


@dataclass(frozen=True)
class ChainLayer(DenseLayer):
    """The same, and the derivative of the loss.

    Attributes
    ----------
    delta : Tensor (R, out)
        Derivative of the loss with respect to the outputs.
    """

    delta: Tensor

    def pull_change(self, turned: Tensor, inner: Tensor | None, parts: list[Tensor]) -> None:
        """Put the products into their places; ``turned`` is the change (…, R, out) of delta."""
        self.pull(turned, parts)
        if inner is not None:
            _add_product(parts[self.weight], self.delta.T, inner)

    def back(self, turned: Tensor, vectors: Tensors) -> Tensor:
        """Change (…, R, in) of the loss' derivative with respect to the inputs."""
        return _add_product(turned @ self.matrix, self.delta, vectors[self.weight])


@dataclass(frozen=True)
class Bend:
    """What is stored of the function between two layers, entry by entry.

    Attributes
    ----------
    slope : Tensor (R, width)
        Its derivative.
    curvature : Tensor (R, width) or None
        Its second derivative times the loss' derivative with respect to its values; None if it has none.
    """

    slope: Tensor
    curvature: Tensor | None

    def push(self, change: Tensor) -> Tensor:
        """Change of the values for one of the arguments."""
        return change * self.slope

    def back(self, turned: Tensor, change: Tensor) -> Tensor:
        """Change of the loss' derivative with respect to the arguments, in the memory of ``turned``."""
        turned.mul_(self.slope)
        return turned if self.curvature is None else turned.addcmul_(self.curvature, change)


class DenseChain:
    """Multiplies with one batch's Hessian.

    Parameters
    ----------
    layers : sequence of ChainLayer
    bends : sequence of Bend
        Between them, so one fewer.
    curvature : callable
        Multiplies with the Hessian of the loss with respect to the outputs.
    shape : tuple of int
        Of the outputs.
    """

    def __init__(
        self, layers: Sequence[ChainLayer], bends: Sequence[Bend], curvature: Product, shape: tuple[int, ...]
    ) -> None:
        self._layers, self._bends = layers, bends
        self._curvature = curvature
        self._shape = shape
        self._widest = max(layer.delta.numel() for layer in layers)

    def __call__(self, vectors: Tensors, *, batched: bool) -> Tensors:
        """Multiply one tensor per parameter; with ``batched`` they have a leading dimension of columns."""
        rows = [vector.to(self._layers[0].input.dtype) for vector in vectors]
        if not batched:
            return self._column(rows)
        several = max(1, _TOGETHER // self._widest)
        if several == 1:
            columns = [self._column(list(row)) for row in zip(*rows, strict=True)]
            return [torch.stack(parts) for parts in zip(*columns, strict=True)]
        split = zip(*(row.split(several) for row in rows), strict=True)
        blocks = [self._column(list(block)) for block in split]
        return [torch.cat(parts) for parts in zip(*blocks, strict=True)]

    def _column(self, vectors: Tensors) -> Tensors:
        """One product, or several with a leading dimension each."""
        still_at_work()
        with torch.no_grad():
            changes = [self._layers[0].push(vectors, None)]
            inner: list[Tensor | None] = [None]
            for layer, bend in zip(self._layers[1:], self._bends, strict=True):
                inner.append(bend.push(changes[-1]))
                changes.append(layer.push(vectors, inner[-1]))
            turned = self._turn(changes.pop())
            parts = list(vectors)  # all replaced
            for layer, bend in zip(self._layers[:0:-1], self._bends[::-1], strict=True):
                layer.pull_change(turned, inner.pop(), parts)
                turned = bend.back(layer.back(turned, vectors), changes.pop())
            self._layers[0].pull_change(turned, None, parts)
        return parts

    def _turn(self, change: Tensor) -> Tensor:
        """Change of the first delta, for one of the network's outputs."""
        lead = change.shape[:-2]
        outputs = [change.view(*lead, *self._shape)]
        (turned,) = self._curvature(outputs, batched=bool(lead))
        return turned.reshape(change.shape)


def is_chain(calls: Sequence[LayerCall], head: Tensor, parameters: Collection[str]) -> bool:
    """Whether the shapes, types and uses of the layers are those of a chain that ends in ``head``.

    Not whether the functions between them act entry by entry: compare a product.
    """
    places = [place for call in calls for place in (call.weight, call.bias) if place is not None]
    return sorted(places) == list(range(len(parameters))) and are_joined(calls, head)


def are_joined(calls: Sequence[LayerCall], head: Tensor) -> bool:
    """Whether each layer is dense and may take what the one before gives, and the last gives ``head``."""
    if calls[0].input.requires_grad:
        return False
    dense = all(call.convolution is None and call.weight is not None for call in calls)
    types = {tensor.dtype for call in calls for tensor in (call.input, call.output, call.values)}
    joined = all(
        later.input.requires_grad and later.input.shape == earlier.output.shape
        for earlier, later in pairwise(calls)
    )
    return dense and joined and len(types) == 1 and calls[-1].output.shape == head.shape


def chain_bytes(calls: Sequence[LayerCall]) -> int:
    """Bytes of the activations and derivatives."""
    return sum((call.input.numel() + 3 * call.output.numel()) * call.input.itemsize for call in calls)


def store_chain(calls: Sequence[LayerCall], head: Tensor, loss: Tensor, curvature: Product) -> DenseChain:
    """Compute the derivatives: one backward pass, and two through each function between the layers.

    Parameters
    ----------
    calls : sequence of LayerCall
        Of the pass that led to ``head``, with their graph; they pass :func:`is_chain`.
    head : Tensor
        The outputs.
    loss : Tensor ()
        With its graph.
    curvature : callable
        Multiplies with the Hessian of the loss with respect to the outputs.
    """
    outputs, inner = [call.output for call in calls], [call.input for call in calls[1:]]
    gradients = torch.autograd.grad(
        loss, [*outputs, *inner], retain_graph=True, allow_unused=True, materialize_grads=True
    )
    deltas, values = gradients[: len(outputs)], gradients[len(outputs) :]
    layers = [
        ChainLayer(call.weight, call.bias, call.values, _rows(call.input.detach()), _rows(delta))
        for call, delta in zip(calls, deltas, strict=True)
        if call.weight is not None  # is_chain() saw to it
    ]
    bends = [
        _bend(output, input, value) for output, input, value in zip(outputs[:-1], inner, values, strict=True)
    ]
    return DenseChain(layers, bends, curvature, tuple(head.shape))


def _bend(argument: Tensor, value: Tensor, derivative: Tensor) -> Bend:
    """Differentiate a function that acts entry by entry, twice."""
    slope = _derivative(value, argument, again=True)
    if not slope.requires_grad:
        return Bend(_rows(slope), None)
    second = _derivative(slope, argument)
    return Bend(_rows(slope.detach()), _rows(second * derivative))


def _derivative(value: Tensor, argument: Tensor, *, again: bool = False) -> Tensor:
    """Differentiate entry by entry; zero where there is no dependence, as in what is no chain after all."""
    (found,) = torch.autograd.grad(
        value.sum(),
        argument,
        retain_graph=True,
        create_graph=again,
        allow_unused=True,
        materialize_grads=True,
    )
    return found


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Add a matrix product in place; one of matrices needs no memory of its own."""
    return total.addmm_(left, right) if total.dim() == 2 else total.add_(left @ right)


def _rows(tensor: Tensor) -> Tensor:
    return tensor.reshape(-1, tensor.shape[-1])
