"""The curvature of each example's loss, in factors of few rows."""

from collections.abc import Generator, Iterator
from typing import Any

import torch
from torch import Tensor

from workbench.batches import Batch, count_examples
from workbench.problem import Parameters, Problem
from workbench.progress import progress

_ROUNDINGS = 100  # differences of curvatures below this many roundings are none


def example_factors(problem: Problem) -> Generator[Tensor, None, None]:
    r"""Yield the factors of the Gauss-Newton matrices of single examples, in the order of the data.

    With the outputs :math:`f_i` (all c of them, flattened), their Jacobian :math:`J_i` and the curvature
    :math:`M_i = \nabla_f^2 \ell_i` of the problem's own loss,

    .. math:: H_i = J_i^\top M_i J_i = A_i^\top A_i, \qquad A_i = M_i^{1/2} J_i .

    Whatever the loss is divided by is in M: it is 1 for half the sum of squares, 2/c for ``nn.MSELoss``.
    Where an example's loss is at its minimum, :math:`H_i` is its Hessian, too.

    Parameters
    ----------
    problem : Problem
        Its loss is the plain mean of the losses of its examples.

    Yields
    ------
    Tensor (c, n)
        :math:`A_i` in float64, on the CPU.

    Raises
    ------
    ValueError
        If examples count unequally, the loss is a sum or does not decompose, the outputs are not one tensor,
        their number differs among examples, or the loss is not convex in them.

    Notes
    -----
    Cost: one forward and c backward passes for each example, one by one.
    """
    refuse_other_than_mean(problem)
    parameters = problem.leaves()
    columns = 0
    rounding = _ROUNDINGS * torch.finfo(problem.coarsest_dtype).eps
    with progress("curvature of examples", problem.num_examples) as advance:
        for piece in single_examples(problem):
            outputs = _outputs(problem, parameters, piece)
            if columns and outputs.numel() != columns:
                raise ValueError(
                    f"an example has {outputs.numel()} outputs and another {columns}: they must have as many"
                )
            columns = outputs.numel()
            root = _root(output_curvature(problem, outputs, piece, parameters), rounding)
            yield root @ _jacobian(outputs, list(parameters.values()))
            advance(1)


def single_examples(problem: Problem) -> Iterator[Batch]:
    """Yield each example as a batch of its own.

    Raises
    ------
    ValueError
        If one counts more than another, or not at all.
    """
    equal = 1 / problem.num_examples
    count = 0
    for batch, share in problem.batches():
        for piece, part in problem.pieces(batch, share, count_examples(batch)):
            if abs(part - equal) > 1e-6 * equal:
                raise ValueError(
                    f"an example has the share {part:.4g} of the loss and not {equal:.4g}, as one of "
                    f"{problem.num_examples} would: the theory is for examples that count alike"
                )
            count += 1
            yield piece
    if count != problem.num_examples:
        raise ValueError(
            f"{problem.num_examples - count} of {problem.num_examples} examples have no share in the loss: "
            "the theory is for examples that count alike"
        )


def refuse_other_than_mean(problem: Problem) -> None:
    """Refuse a loss that is no mean over examples.

    Raises
    ------
    ValueError
        If it is a sum, or not known to be made of the losses of its examples.
    """
    if problem.weighting.sums:
        raise ValueError("the loss is a sum over examples, of which a batch's is no estimate: use a mean")
    if not problem.can_split:
        raise ValueError(
            f"examples weighted by {problem.weighting.rule} cannot be taken out of their batches"
        )


def is_quadratic(problem: Problem) -> bool:
    """Whether the loss is a quadratic function of the outputs, as squared errors are.

    Measured: the loss' curvature on the first examples is the same at their outputs and away from them.
    """
    batch = problem.small_batch(1)
    parameters = problem.parameters()
    outputs = _outputs(problem, parameters, batch)
    here = output_curvature(problem, outputs, batch, parameters)
    there = output_curvature(problem, outputs + 1 + outputs.abs(), batch, parameters)
    allowed = _ROUNDINGS * torch.finfo(problem.coarsest_dtype).eps * max(1e-30, here.abs().max().item())
    return bool(here.abs().max() > 0) and (here - there).abs().max().item() <= allowed


def output_curvature(problem: Problem, outputs: Tensor, batch: Batch, parameters: Parameters) -> Tensor:
    """Second derivatives (c, c) of a batch's loss in its outputs, in float64 on the CPU."""
    leaf = outputs.detach().requires_grad_()
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(problem.batch_loss(leaf, batch, parameters), leaf, create_graph=True)
        if not slope.requires_grad:
            return torch.zeros(leaf.numel(), leaf.numel(), dtype=torch.float64)
        rows = [
            torch.autograd.grad(each, leaf, retain_graph=True, materialize_grads=True)[0].reshape(-1)
            for each in slope.reshape(-1)
        ]
    return torch.stack(rows).double().cpu()


def _outputs(problem: Problem, parameters: Parameters, batch: Batch) -> Tensor:
    with torch.enable_grad():
        outputs: Any = problem.outputs(parameters, batch)
    if not isinstance(outputs, Tensor):
        raise ValueError(f"the outputs are a {type(outputs).__name__}: the theory is for one tensor")
    return outputs


def _jacobian(outputs: Tensor, leaves: list[Tensor]) -> Tensor:
    """Derivatives (c, n) of all outputs in all parameters, float64 on the CPU."""
    rows = []
    for output in outputs.reshape(-1):
        parts = torch.autograd.grad(
            output, leaves, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        rows.append(torch.cat([part.to_dense().reshape(-1).double() for part in parts]))
    return torch.stack(rows).cpu()


def _root(matrix: Tensor, rounding: float) -> Tensor:
    """Symmetric root of a matrix that is positive semidefinite up to rounding."""
    values, vectors = torch.linalg.eigh((matrix + matrix.T) / 2)
    if values[0] < -(rounding + 1e-4 * values.abs().max()):
        raise ValueError(
            f"the loss has the negative curvature {values[0]:.4g} in the outputs: the theory is for losses "
            "that are convex in them"
        )
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T
