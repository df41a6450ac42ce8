r"""The proximal step, which minimises :math:`f(y) + |y - x|^2 / 2\tau`: one step of the minimising movement.

It is found by gradient descent whose step lengths are Barzilai and Borwein's, halved until the value falls,
point by point: no point's result depends on the others.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

_FALL = 1e-4  # part of the expected fall that a step has to bring (Armijo)


class Proximal(NamedTuple):
    r"""Proximal points.

    Attributes
    ----------
    point : Tensor (..., dim)
        Where the search from x ended: of several local minima, one below x.
    residual : Tensor (...)
        Norm of :math:`\tau \nabla f(y) + y - x`, which is 0 at a minimiser, over the norm of
        :math:`\tau \nabla f(x)`.
    gradients : Tensor (...)
        Values with gradients that each point took.
    """

    point: Tensor
    residual: Tensor
    gradients: Tensor


def proximal_point(
    function: Callable[[Tensor], Tensor],
    points: Tensor,
    tau: float | Tensor,
    *,
    tolerance: float = 1e-8,
    iterations: int = 200,
) -> Proximal:
    """Minimise the function plus the squared distance from each point (..., dim), over 2 ``tau``.

    ``tau`` is one number, or one for each point (...). A search ends when the slope has fallen to
    ``tolerance`` of its first length, or after so many ``iterations``.
    """
    x = points.detach()
    tau = torch.as_tensor(tau).to(x)
    y = x.clone()
    value, slope = _value_and_slope(function, x, y, tau)
    start = slope.norm(dim=-1)
    length = torch.zeros_like(value) + tau / 2
    count = torch.ones_like(value, dtype=torch.int64)
    for _ in range(iterations):
        moving = slope.norm(dim=-1) > tolerance * start
        if not moving.any():
            break
        trial = torch.where(moving[..., None], y - length[..., None] * slope, y)
        there, slope_there = _value_and_slope(function, x, trial, tau)
        count += moving
        # Near the minimum the fall is below the rounding of the value.
        slack = 4 * torch.finfo(value.dtype).eps * value.abs()
        falls = moving & (there <= value - _FALL * length * slope.square().sum(-1) + slack)
        way, turn = trial - y, slope_there - slope
        bend = (way * turn).sum(-1)
        fresh = torch.where(bend > 0, way.square().sum(-1) / bend, 2 * length)
        length = torch.where(falls, fresh, torch.where(moving, length / 2, length))
        y = torch.where(falls[..., None], trial, y)
        value = torch.where(falls, there, value)
        slope = torch.where(falls[..., None], slope_there, slope)
    residual = (slope.norm(dim=-1) / start).nan_to_num(0.0)
    return Proximal(y, residual, count)


def _value_and_slope(
    function: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, tau: Tensor
) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        y = y.detach().requires_grad_()
        value = function(y) + (y - x).square().sum(-1) / (2 * tau)
        (slope,) = torch.autograd.grad(value.sum(), y)
    return value.detach(), slope
