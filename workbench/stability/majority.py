"""How far the likeliest class keeps more than half of the probability along a line."""

import torch
from torch import Tensor

from workbench.stability.partition import Partition

_STEPS = 60  # far more than Newton's method needs
_CACHED = 2**15  # numbers at a time, which a processor's cache holds


def majority_distance(partition: Partition) -> Tensor:
    r"""Distance (m,) in s, on either side of 0, at which the top class falls to probability one half.

    It is the root of :math:`h(u) = \log \sum_{k \ne top} q_k e^{b_k u}`, which is convex and negative at 0; 0
    if it is not negative there, inf if the top class never loses its majority.

    The result is on the near side of the root, also with rounding. Newton's method comes from the far side,
    where it decreases monotonically; the chord from h(0) to where it stops lies above h, so that it crosses
    any level before h does. The level is below 0 by what h may be rounded by.
    """
    others = partition.log_weights.scatter(1, partition.top[:, None], -torch.inf)
    rows = max(1, _CACHED // others.shape[1])
    parts = zip(others.split(rows), partition.slopes.split(rows), strict=True)
    return torch.cat([torch.minimum(_one_side(d, b), _one_side(d, -b)) for d, b in parts])


def _one_side(d: Tensor, b: Tensor) -> Tensor:
    """Where log sum exp(d + b u) reaches 0 from below, for u >= 0."""
    start = d.logsumexp(1)
    # Where the first of the others alone is as likely as the top class, h is at least 0.
    crossing = torch.where((b > 0) & d.isfinite(), -d / b, torch.inf).amin(1)
    crosses = crossing.isfinite() & (start < 0)
    u = torch.where(crosses, crossing, 0.0)
    for _ in range(_STEPS):
        h, slope = _crossing_function(d, b, u)
        step = torch.where(crosses & (slope > 0), h.clamp(min=0) / slope, 0.0)
        u = u - step
        if bool((step <= 1e-9 * u).all()):  # the next one would be below rounding
            break
    h, _ = _crossing_function(d, b, u)
    rounding = _rounding(d, b, u)
    chord = u * (-rounding - start) / (h - start)
    found = torch.where(crosses & (start < -rounding), torch.minimum(chord, u), 0.0)
    return torch.where(crosses | (start >= 0), found, torch.inf)


def _crossing_function(d: Tensor, b: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """Value and slope of h."""
    exponents = torch.addcmul(d, b, u[:, None])
    largest = exponents.amax(1, keepdim=True)
    terms = exponents.sub_(largest).exp_()
    total = terms.sum(1)
    return largest[:, 0] + total.log(), terms.mul_(b).sum(1) / total


def _rounding(d: Tensor, b: Tensor, u: Tensor) -> Tensor:
    """What h may be rounded by."""
    shifts = b * u[:, None]
    shares = (d + shifts).softmax(1)
    sizes = torch.where(shares > 0, shifts.abs() - d, 0.0)
    return 8 * torch.finfo(d.dtype).eps * (1 + (shares * sizes).sum(1))
