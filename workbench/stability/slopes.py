"""Logits and their slopes along a direction in the space of the parameters."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from workbench.problem import Problem
from workbench.stability.forward_mode import outputs_and_tangents
from workbench.weighting import identify_loss

_SOFTMAX = (nn.CrossEntropyLoss, nn.NLLLoss)
_SIGMOID = (nn.BCEWithLogitsLoss, nn.SoftMarginLoss, nn.MultiLabelSoftMarginLoss)


def logits_and_slopes(problem: Problem, direction: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    r"""Yield, for each batch, the logits z (rows, classes) and how fast they change along a direction.

    The slopes are :math:`a = J v` of the outputs' Jacobian J, by one forward-mode product, which gives the
    logits, too. Every softmax is a row: of sequences each token, of several binary outputs each one. A target
    that the loss ignores has its row all the same.

    Parameters
    ----------
    problem : Problem
        With a cross entropy: ``CrossEntropyLoss``, ``NLLLoss`` (whose log-probabilities are logits up to a
        constant, which moves no zero), ``BCEWithLogitsLoss``, ``SoftMarginLoss`` or
        ``MultiLabelSoftMarginLoss`` (an output z is two classes with the logits 0 and z), or a function of
        your own. Of that it cannot be known what it does with the outputs: they are taken as the logits of a
        softmax, classes in dimension 1. Divide them by a temperature in ``forward=``, not in the loss.
    direction : Tensor (n,)
        Not normalised here.

    Raises
    ------
    ValueError
        If the loss is no cross entropy of logits, the outputs are not one tensor with classes, or the
        direction does not fit.

    Notes
    -----
    Cost: one pass, about two forward passes over the data; where torch has no forward-mode derivative
    (recurrent layers, custom functions without ``jvp``), a forward and two backward passes.
    """
    kind, _ = identify_loss(problem.loss)
    if kind is not None and not issubclass(kind, _SOFTMAX + _SIGMOID):
        raise ValueError(
            f"{kind.__name__} is no cross entropy of logits, so that it has no zeros of a softmax: use "
            f"{', '.join(each.__name__ for each in _SOFTMAX + _SIGMOID)} or a function of your own"
        )
    as_rows = _pairs if kind in _SIGMOID else _rows
    for batch, _ in problem.batches():
        outputs, tangents = outputs_and_tangents(problem, batch, direction)
        yield as_rows(outputs), as_rows(tangents)


def _rows(outputs: Tensor) -> Tensor:
    """(N, C, …), as the cross entropy takes them, or (C,): one row of classes for each softmax."""
    if not outputs.dim():
        raise ValueError("the outputs are a scalar, which has no classes")
    if outputs.dim() == 1:
        return outputs[None]
    return outputs.movedim(1, -1).reshape(-1, outputs.shape[1])


def _pairs(outputs: Tensor) -> Tensor:
    """The two classes of each binary output."""
    column = outputs.reshape(-1, 1)
    return torch.cat([torch.zeros_like(column), column], dim=1)
