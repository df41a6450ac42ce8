"""Outputs of a model and their change along a direction, together, by one forward-mode product."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.autograd import forward_ad

from workbench.batches import Batch, tensors
from workbench.curvature.operators.second_derivative import second_derivatives
from workbench.problem import Parameters, Problem

_LEVEL = threading.RLock()  # torch has one level of forward mode for all threads


def outputs_and_tangents(problem: Problem, batch: Batch, direction: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs f of a batch and their change J v along a direction v (n,), of the same shape.

    Where torch has no forward-mode derivative (recurrent layers, custom functions without ``jvp``), two
    backward passes through one graph take its place.

    Raises
    ------
    ValueError
        If the outputs are not one tensor, the direction does not fit, or torch has neither derivative.
    """
    try:
        with forward_mode(problem, direction) as parameters:
            return split_dual(one_tensor(problem.outputs(parameters, batch)))
    except NotImplementedError:
        return _by_two_backwards(problem, batch, direction)


@contextmanager
def forward_mode(problem: Problem, direction: Tensor) -> Iterator[Parameters]:
    """Inside, what is computed from the parameters yielded carries its change along the direction (n,)."""
    held = problem.parameters()
    vectors = problem.as_parameters(direction.detach().to(problem.dtype))
    with _LEVEL, torch.inference_mode(False), torch.no_grad(), forward_ad.dual_level():
        yield {name: forward_ad.make_dual(held[name], vectors[name]) for name in held}


def split_dual(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """Take the value and its change out of a tensor of forward mode; what does not change has zeros."""
    value, tangent = forward_ad.unpack_dual(tensor)
    return value.detach(), torch.zeros_like(value) if tangent is None else tangent.detach()


def one_tensor(outputs: object) -> Tensor:
    """The outputs, if they are one tensor.

    Raises
    ------
    ValueError
        If they are something else.
    """
    if not isinstance(outputs, Tensor):
        count = len(tensors(outputs))
        raise ValueError(
            f"the outputs are a {type(outputs).__name__} of {count} tensors, not one tensor of logits: "
            "choose them by forward=, e.g. lambda model, batch: model(**batch).logits"
        )
    return outputs


def _by_two_backwards(problem: Problem, batch: Batch, direction: Tensor) -> tuple[Tensor, Tensor]:
    """``J v`` as the derivative of ``J^T u`` with respect to u, along v."""
    vectors = list(problem.as_parameters(direction.detach().to(problem.dtype)).values())
    leaves = problem.leaves()
    with torch.inference_mode(False), torch.enable_grad(), second_derivatives():
        outputs = one_tensor(problem.outputs(leaves, batch))
        u = torch.zeros_like(outputs, requires_grad=True)
        pulled = torch.autograd.grad(
            outputs, list(leaves.values()), u, create_graph=True, materialize_grads=True, allow_unused=True
        )
        (tangents,) = torch.autograd.grad(pulled, u, vectors, materialize_grads=True, allow_unused=True)
    return outputs.detach(), tangents.detach()
