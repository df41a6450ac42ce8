"""Convex functions whose minimum is at 1 in every coordinate, seen from a start at 0."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

FLATTEST = 0.1  # curvature of the quadratic in its flattest coordinate; 1 in its steepest


@dataclass(frozen=True)
class Objective:
    """A convex function of points (…, d).

    Attributes
    ----------
    gap, gradient : callable
        Of points: the value above the minimum (…), and a subgradient (…, d).
    smoothness : float, optional
        L; None if the gradient jumps.
    convexity : float
        Strong convexity.
    """

    gap: Callable[[Tensor], Tensor]
    gradient: Callable[[Tensor], Tensor]
    smoothness: float | None
    convexity: float


def absolute(dim: int) -> Objective:
    """Sum of |x - 1|: as sharp a minimum as there is."""
    return Objective(lambda x: (x - 1).abs_().sum(-1), lambda x: (x - 1).sign_(), None, 0.0)


def quadratic(dim: int) -> Objective:
    """Half the sum of c (x - 1)², the curvatures c from 0.1 to 1 in equal ratios; 1 in one dimension."""
    lowest = FLATTEST if dim > 1 else 1.0
    curvatures = torch.logspace(math.log10(lowest), 0, dim, dtype=torch.float32)
    return Objective(
        lambda x: (x - 1).square_().mul_(curvatures).sum(-1) / 2,
        lambda x: (x - 1).mul_(curvatures),
        1.0,
        lowest,
    )


OBJECTIVES = {"absolute": absolute, "quadratic": quadratic}
