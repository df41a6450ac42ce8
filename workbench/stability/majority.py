"""How far the likeliest class keeps more than half of the probability along a line."""

import torch
from torch import Tensor

from workbench.stability.partition import Partition

_STEPS = 60  # far more than Newton's method needs


def majority_distance(partition: Partition) -> Tensor:
    r"""Distance (m,) in s, on either side of 0, at which the top class falls to probability one half.

    It is the root of :math:`h(u) = \log \sum_{k \ne top} q_k e^{b_k u}`, which is convex and negative at 0; 0
    if it is not negative there, inf if the top class never loses its majority.

    The result is on the near side of the root, also with rounding. Newton's method comes from the far side,
    where it decreases monotonically; the chord from h(0) to where it stops lies above h, so that it crosses
    any level before h does. The level is below 0 by what h may be rounded by.
    """
    others = partition.log_weights.scatter(1, partition.top[:, None], -torch.inf)
    sides = [_one_side(others, sign * partition.slopes) for sign in (1.0, -1.0)]
    return torch.minimum(*sides)


def _one_side(d: Tensor, b: Tensor) -> Tensor:
    """Where log sum exp(d + b u) reaches 0 from below, for u >= 0."""
    # Where the first of the others alone is as likely as the top class, h is at least 0.
    crossing = torch.where((b > 0) & d.isfinite(), -d / b, torch.inf).amin(1)
    reached = crossing.isfinite()
    start = d.logsumexp(1)
    u = torch.where(reached, crossing, 0.0)
    for _ in range(_STEPS):
        h, slope, _ = _crossing_function(d, b, u)
        step = torch.where(reached & (slope > 0), h.clamp(min=0) / slope, 0.0)
        u = u - step
        if bool((step <= 1e-9 * u).all()):
            break
    h, _, rounding = _crossing_function(d, b, u)
    chord = u * (-rounding - start) / (h - start)
    found = torch.where(start < -rounding, torch.minimum(chord, u).clamp(min=0), 0.0)
    return torch.where(reached | (start >= -rounding), found, torch.inf)


def _crossing_function(d: Tensor, b: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Value, slope and rounding error of h."""
    shifts = b * u[:, None]
    exponents = d + shifts
    largest = exponents.amax(1, keepdim=True)
    terms = (exponents - largest).exp()
    total = terms.sum(1)
    sizes = torch.where(terms > 0, shifts.abs() - d, 0.0)
    rounding = 8 * torch.finfo(d.dtype).eps * (1 + (terms * sizes).sum(1) / total)
    return largest[:, 0] + total.log(), (terms * b).sum(1) / total, rounding
