"""Logits and their slopes along a direction in the space of the parameters."""

from collections.abc import Callable, Iterator
from typing import Any

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
        softmax, classes in dimension 1 or, if the targets have the shape of the others, in the last; one
        output per target as the two classes of ``BCEWithLogitsLoss``. Several binary outputs need that loss
        itself. Divide them by a temperature in ``forward=``, not in such a loss.
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
    rows = rows_of(problem)
    for batch, _ in problem.batches():
        outputs, tangents = outputs_and_tangents(problem, batch, direction)
        targets = problem.batch_targets(batch)
        yield rows(outputs, targets), rows(tangents, targets)


def rows_of(problem: Problem) -> Callable[[Tensor, Any], Tensor]:
    """Return what turns the outputs of a batch, or their changes, and its targets into rows of classes.

    Raises
    ------
    ValueError
        If the loss is no cross entropy of logits.
    """
    kind, _ = identify_loss(problem.loss)
    if kind is not None and kind not in _SOFTMAX + _SIGMOID:
        allowed = ", ".join(each.__name__ for each in _SOFTMAX + _SIGMOID)
        raise ValueError(
            f"{kind.__name__} is no cross entropy of logits, so that it has no softmax whose zeros bound a "
            f"step: the loss must be {allowed}, or a function of your own"
        )
    if kind is None:
        return _rows_like_targets
    return _pairs if kind in _SIGMOID else _rows


def _rows(outputs: Tensor, targets: Any) -> Tensor:
    """(N, C, …), as the cross entropy takes them, or (C,): one row of classes for each softmax."""
    if not outputs.dim():
        raise ValueError("the outputs are a scalar, which has no classes")
    if outputs.dim() == 1:
        return outputs[None]
    return outputs.movedim(1, -1).reshape(-1, outputs.shape[1])


def _rows_like_targets(outputs: Tensor, targets: Any) -> Tensor:
    """Rows for a loss of the user's own, which may take its classes in the last dimension.

    One class alone has no cross entropy: one output is that of two classes.
    """
    shape = targets.shape if isinstance(targets, Tensor) else None
    if outputs.dim() == 1 and shape == outputs.shape:
        return _pairs(outputs, targets)
    if outputs.dim() < 3:
        return two_classes(_rows(outputs, targets))
    first, last = shape == outputs[:, 0].shape, shape == outputs[..., 0].shape
    if first == last:
        raise ValueError(
            f"outputs of shape {tuple(outputs.shape)} may have their classes in dimension 1 or in the last: "
            "flatten them to (rows, classes) in forward="
        )
    return two_classes(_rows(outputs, targets) if first else outputs.reshape(-1, outputs.shape[-1]))


def _pairs(outputs: Tensor, targets: Any) -> Tensor:
    """The two classes of each binary output."""
    return two_classes(outputs.reshape(-1, 1))


def two_classes(rows: Tensor) -> Tensor:
    """One column of logits z, or of slopes, as the classes (0, z) of a binary output; others as they are."""
    return torch.cat([torch.zeros_like(rows), rows], dim=1) if rows.shape[1] == 1 else rows
