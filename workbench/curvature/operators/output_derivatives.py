r"""Derivatives of a network's outputs with respect to the outputs of one of its layers.

For each example :math:`D_n = \partial f_n/\partial s_n`, in general a matrix of its own. At the last layer
it is the identity, and before the function :math:`\sigma` in front of a last layer W it is
:math:`W \operatorname{diag}(\sigma'(s_n))`: of that the slopes alone are kept, a row for each example.
"""

import abc
from collections.abc import Sequence

import torch
from torch import Tensor

from workbench.curvature.operators.layer_calls import LayerCall
from workbench.progress import still_at_work
from workbench.random_vectors import generator

FINE = 1e-6  # rounding up to which slopes can be told from what is close to them


class OutputDerivatives(abc.ABC):
    """Shapes: N examples, k columns, C outputs of the network, P outputs of the layer per example.

    Attributes
    ----------
    numbers : int
        How many are kept.
    multiplications : int
        In a matrix product with something that all examples share, for one column.
    """

    numbers: int
    multiplications: int

    @abc.abstractmethod
    def push(self, change: Tensor) -> Tensor:
        """Changes (N, k, C) of the network's outputs for those (N, k, P) of the layer's, overwriting them."""

    @abc.abstractmethod
    def pull(self, curved: Tensor) -> Tensor:
        """The transposed products (N, k, P) of (N, k, C)."""


class LastLayer(OutputDerivatives):
    """The layer's outputs are the network's."""

    numbers = multiplications = 0

    def push(self, change: Tensor) -> Tensor:
        return change

    def pull(self, curved: Tensor) -> Tensor:
        return curved


class BeforeLast(OutputDerivatives):
    """A function acts entry by entry, and the last layer on what it gives.

    Parameters
    ----------
    matrix : Tensor (C, P)
        The last layer's weight.
    slope : Tensor (N, P)
        The derivative of the function.
    """

    def __init__(self, matrix: Tensor, slope: Tensor) -> None:
        self._matrix, self._slope = matrix, slope.unsqueeze(1)
        self.numbers = slope.numel()
        self.multiplications = slope.numel() * len(matrix)

    def push(self, change: Tensor) -> Tensor:
        return change.mul_(self._slope) @ self._matrix.T

    def pull(self, curved: Tensor) -> Tensor:
        return (curved @ self._matrix).mul_(self._slope)


class StoredDerivatives(OutputDerivatives):
    """Any function of each example.

    Parameters
    ----------
    derivatives : Tensor (N, C, P)
    """

    multiplications = 0

    def __init__(self, derivatives: Tensor) -> None:
        self._derivatives = derivatives
        self.numbers = derivatives.numel()

    def push(self, change: Tensor) -> Tensor:
        # The larger matrix in front, which takes half the time.
        return torch.bmm(self._derivatives, change.transpose(1, 2)).transpose(1, 2)

    def pull(self, curved: Tensor) -> Tensor:
        return torch.bmm(curved, self._derivatives)


def output_derivatives(calls: Sequence[LayerCall], head: Tensor) -> list[OutputDerivatives]:
    """Compute the derivatives of outputs (N, C), with their graph, with respect to each layer's.

    Cost: three backward passes, and one per output of the network for layers that need it.
    """
    short = short_forms(calls, head)
    outputs = [call.output for call in calls[: len(calls) - len(short)]]
    count, classes = head.shape
    stored = [head.new_empty(count, classes, output[0].numel()) for output in outputs]
    for c in range(classes if outputs else 0):
        still_at_work()
        gradients = torch.autograd.grad(
            head[:, c].sum(), outputs, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        for store, gradient in zip(stored, gradients, strict=True):
            store[:, c] = gradient.reshape(count, -1)
    return [*(StoredDerivatives(each) for each in stored), *short]


def short_forms(calls: Sequence[LayerCall], head: Tensor) -> list[OutputDerivatives]:
    """The derivatives at the last two layers, or the last, where they have their short form.

    Whether they do is tried with a random combination of the outputs.
    """
    last = calls[-1]
    seed = torch.randn(head.shape, generator=generator(0)).to(head)
    if last.output.shape != head.shape or not torch.equal(gradient(head, last.output, seed), seed):
        return []
    slope = _slope(calls[-2].output, last, head, seed) if len(calls) > 1 else None
    return [LastLayer()] if slope is None else [BeforeLast(last.values, slope), LastLayer()]


def _slope(argument: Tensor, last: LayerCall, head: Tensor, seed: Tensor) -> Tensor | None:
    """Slopes (N, P) of the function between two layers; None unless it acts entry by entry, and alone."""
    if (
        last.convolution is not None
        or last.input.dim() != 2
        or last.input.numel() != argument.numel()
        or not last.input.requires_grad
        or len({argument.dtype, last.values.dtype, head.dtype}) > 1
        or torch.finfo(head.dtype).eps > FINE
    ):
        return None
    slope = gradient(last.input, argument, torch.ones_like(last.input)).reshape(len(head), -1)
    expected = (seed @ last.values) * slope
    found = gradient(head, argument, seed).reshape(expected.shape)
    return slope if are_close(found, expected) else None


def are_close(found: Tensor, expected: Tensor) -> bool:
    """Whether derivatives agree up to rounding, relative to the largest of them."""
    rounding = 100 * torch.finfo(expected.dtype).eps * float(expected.abs().max())
    return torch.allclose(found, expected, rtol=0, atol=rounding)


def gradient(value: Tensor, argument: Tensor, seed: Tensor) -> Tensor:
    """Differentiate a combination of values, and keep the graph; zero where there is no dependence."""
    (found,) = torch.autograd.grad(
        value, argument, seed, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    return found
