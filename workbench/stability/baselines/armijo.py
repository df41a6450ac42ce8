"""``armijo_step``: backtracking along the update of any optimizer until the loss has fallen enough."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch.optim import Optimizer

from workbench.choices import check_count
from workbench.stability.updates import parameters_of, scale_step, take_step


class LineSearch(NamedTuple):
    """What a search along an update came to.

    Attributes
    ----------
    scale : float
        The part of the update that was taken; 0 if none was good enough.
    loss : float
        The loss there.
    evaluations : int
        Of the loss, one at the start included.
    """

    scale: float
    loss: float
    evaluations: int


def armijo_step(
    optimizer: Optimizer,
    loss: Callable[[], Any],
    *,
    decrease: float = 1e-4,
    shrink: float = 0.5,
    most: int = 40,
) -> LineSearch:
    r"""Take the largest part :math:`s = 1, q, q^2, \dots` of an update p with enough decrease of the loss.

    Enough is :math:`L(\theta + s p) \le L(\theta) + c\, s\, g^\top p` (Armijo 1966), with the gradient g in
    the parameters' ``.grad``. Where the update does not descend (:math:`g^\top p \ge 0`, as momentum
    may have it), or no part is good enough, the parameters stay where they are. The optimizer's state is that
    of its whole step.

    Parameters
    ----------
    optimizer : Optimizer
        Any of torch's that needs no closure; the gradients are there already.
    loss : callable
        Returns the loss at the parameters as they are, on the batch of the gradient.
    decrease, shrink : float
        c and q, between 0 and 1.
    most : int
        Parts to try.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Notes
    -----
    Cost: one forward pass at the start and one for each part tried. A network in train mode updates its batch
    statistics in each of them.
    """
    for name, value in (("decrease", decrease), ("shrink", shrink)):
        if not 0 < value < 1:
            raise ValueError(f"{name}={value} is out of range: it must be between 0 and 1")
    check_count("most", most)
    with torch.no_grad():
        start = float(loss())
        gradients = [None if p.grad is None else p.grad.clone() for p in parameters_of(optimizer)]
        step = take_step(optimizer)
        slope = sum(
            float((gradient.double() * change.double()).sum())
            for gradient, change in zip(gradients, step.update, strict=True)
            if gradient is not None
        )
        tried = 0
        while slope < 0 and tried < most:
            scale = shrink**tried
            scale_step(optimizer, step, scale)
            here = float(loss())
            tried += 1
            if math.isfinite(here) and here <= start + decrease * scale * slope:
                return LineSearch(scale, here, tried + 1)
    scale_step(optimizer, step, 0)
    return LineSearch(0.0, start, tried + 1)
