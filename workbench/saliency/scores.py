"""What is explained: one number per input and target, made of the logits."""

from typing import Any

import torch
from torch import Tensor

from workbench.choices import check_choice

SCORES = ("logit", "probability", "loss")


def read_targets(target: Any, logits: Tensor) -> Tensor:
    """Classes to explain, as a tensor (N, T).

    Parameters
    ----------
    target : None, int, N ints, or (N, T)
        None is the class with the largest logit; an int is meant for all inputs; (N, T) are T targets each.
    logits : Tensor (N, classes)

    Raises
    ------
    ValueError
        If the shape does not fit, a class does not exist, or the logits are not (N, classes).
    TypeError
        If the targets are not whole numbers.
    """
    check_logits(logits)
    count, classes = logits.shape
    if target is None:
        return logits.detach().argmax(dim=1, keepdim=True)
    # The usual case, which costs as much as a map otherwise.
    if type(target) is int and 0 <= target < classes and count:
        return torch.full((count, 1), target, device=logits.device)
    try:
        targets = torch.as_tensor(target, device=logits.device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"target={target!r}: pass None, an int, {count} ints, or ({count}, T)") from error
    targets = targets.clone() if targets.is_inference() else targets
    if targets.is_floating_point() or targets.is_complex() or targets.dtype == torch.bool:
        raise TypeError(f"target has {targets.dtype}: classes are whole numbers")
    given = tuple(targets.shape)
    if targets.dim() == 0:
        targets = targets.expand(count)
    if targets.dim() == 1:
        targets = targets[:, None]
    if targets.dim() != 2 or len(targets) != count or not targets.numel():
        raise ValueError(f"target has shape {given}: for {count} inputs pass an int, "
                         f"{count} ints, or ({count}, T)")  # fmt: skip
    low, high = (int(each) for each in targets.aminmax())
    if low < 0 or high >= classes:
        raise ValueError(f"target={low if low < 0 else high} is out of range: classes are 0 to {classes - 1}")
    return targets.long()


def check_logits(logits: Any) -> Tensor:
    """Refuse outputs of a model that are not (N, classes).

    Raises
    ------
    ValueError
        If they are not.
    """
    if not isinstance(logits, Tensor) or logits.dim() != 2:
        kind = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(f"the model returns {kind}, not logits (N, classes): wrap it in one that picks them")
    return logits


def target_scores(logits: Tensor, targets: Tensor, kind: str = "logit") -> Tensor:
    r"""Scores (N, T) of the targets (N, T), of which each depends on its own input alone.

    Parameters
    ----------
    kind : {"logit", "probability", "loss"}
        The logit :math:`z_y`, the softmax :math:`p_y`, or the cross entropy with its sign turned,
        :math:`\log p_y`, so that a positive contribution speaks for the class with all three.

    Raises
    ------
    ValueError
        If the kind is unknown, or a softmax is asked for of a single logit.
    """
    check_choice("score", kind, SCORES)
    if kind == "logit":
        return logits.gather(1, targets)
    if logits.shape[1] == 1:
        raise ValueError(f"score={kind!r} is constant for a single logit: use 'logit'")
    logits = logits.float() if logits.element_size() < 4 else logits
    if kind == "probability":
        return logits.softmax(dim=1).gather(1, targets)
    return logits.log_softmax(dim=1).gather(1, targets)


def extreme_targets(logits: Tensor) -> Tensor:
    """The classes (N, 2) of the largest and the smallest logit."""
    return torch.stack([logits.detach().argmax(dim=1), logits.detach().argmin(dim=1)], dim=1)
