r"""Hermite polynomials of a standard normal variable, of unit variance: :math:`h_k = He_k/\sqrt{k!}`."""

import math

import torch
from torch import Tensor


def hermite(order: int, t: Tensor) -> Tensor:
    """The polynomial of this order at t."""
    before, now = torch.zeros_like(t), torch.ones_like(t)
    for k in range(order):
        before, now = now, t * now - k * before
    return now / math.sqrt(math.factorial(order))


def hermite_slope(order: int, t: Tensor) -> Tensor:
    r"""Its derivative: :math:`h_k' = \sqrt k\, h_{k-1}`."""
    return math.sqrt(order) * hermite(order - 1, t) if order else torch.zeros_like(t)


def hermite_coefficients(order: int) -> list[float]:
    """Coefficients of the powers 0, 1, … of t."""
    coefficients = [0.0] * (order + 1)
    for j in range(order // 2 + 1):
        power = order - 2 * j
        size = math.factorial(order) / (math.factorial(j) * math.factorial(power) * 2**j)
        coefficients[power] = (-1) ** j * size / math.sqrt(math.factorial(order))
    return coefficients
