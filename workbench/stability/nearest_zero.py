"""The nearest zero of each partition function, with a certificate that no other is nearer.

Winding numbers count the zeros within a circle. Bisection over radii leads to two neighbouring circles, of
which the smaller holds none and the larger one; between them lies the nearest. Newton's method finds it from
where |F / F'| is small on these two, and from the zeros that the likeliest class has with each of the others
alone. In the end the winding number of F is counted on the circle through it, with that zero and those known
to be no nearer divided out: 0 says that there is none within. It is computed in float64 from turns between
points of the circle, and refused where one is sharp or F is noise.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from workbench.stability.partition import Partition
from workbench.stability.winding import TaylorSums, winding_numbers

_HALVINGS = 5  # of the ratio of the largest circle to the bound, in logarithms
_MINIMA = 6  # starts for Newton's method from the circles
_PAIRS = 2  # and from pairs of classes
_STEPS = 14
_FARTHEST = 250.0  # beyond, values on a circle differ by more than float64 holds
_CHUNK = 256  # samples at a time
_RESIDUAL = 1e-11
_OTHERS = 3  # zeros to divide out beside the nearest
_EQUAL = 1e-9  # relative difference up to which moduli count as equal


class NearestZero(NamedTuple):
    """A zero (m,) in s in the upper half plane, and whether it is certified to be the nearest."""

    zero: Tensor
    certified: Tensor


def nearest_zero(partition: Partition, bound: Tensor) -> NearestZero:
    """Find the nearest zero of each sample; none may be nearer than ``bound`` (m,) in s."""
    zero = torch.polar(bound, torch.full_like(bound, math.pi / 2))
    certified = torch.zeros_like(bound, dtype=torch.bool)
    two = _has_two_slopes(partition)
    zero[two], certified[two] = _zero_of_two(partition[two]), True
    pairs = _zeros_of_pairs(partition)
    reach = torch.minimum(12 * bound, (1.6 * pairs[:, 0].abs()).clamp(min=30)).clamp(max=_FARTHEST)
    for widening in (1, 2):  # few samples have their nearest zero beyond the first reach
        wide = (widening * reach).clamp(max=_FARTHEST)
        rows = (~certified & (bound < wide) & (partition.spread > 0)).nonzero()[:, 0]
        rows = rows[wide[rows].argsort()]  # samples of like reach share a polynomial's degree
        for start in range(0, len(rows), _CHUNK):
            part = rows[start : start + _CHUNK]
            zero[part], certified[part] = _search(partition[part], bound[part], wide[part], pairs[part])
    return NearestZero(zero, certified)


def _search(partition: Partition, bound: Tensor, reach: Tensor, pairs: Tensor) -> NearestZero:
    """Find and certify within |s| <= reach; ``pairs`` (m, 2) are starts for Newton's method."""
    sums = TaylorSums(partition, reach)
    starts = torch.cat([_starts_on_circles(sums, bound), pairs], dim=1)
    found = starts
    for _ in range(_STEPS):
        value, derivative = sums.values(found)
        step = value / derivative
        found = found - torch.where(step.abs() < 1e3, step, 0)
        if bool((step.abs() <= 1e-10 * found.abs()).all()):
            break
    found = torch.complex(found.real, found.imag.abs())
    found = torch.cat([found, -found.conj()], dim=1)  # zeros of an even F mirror each other
    value, derivative = sums.values(found)
    step = (value / derivative).abs() / found.abs()
    converged = step < 1e-3
    distance = torch.where(converged & (found.abs() < reach[:, None]), found.abs(), torch.inf)
    nearest = distance.argmin(1, keepdim=True)
    zero = found.gather(1, nearest)
    for _ in range(3):
        value, derivative = partition.values(zero)
        zero = zero - value / derivative
    value, _ = partition.values(zero)
    zero = zero[:, 0]
    exists = distance.gather(1, nearest)[:, 0].isfinite() & (value[:, 0].abs() < _RESIDUAL)
    others = _other_zeros(found, step, zero)
    inside = (zero.abs() <= reach) & (zero.abs() >= bound * (1 - 1e-12))
    zero = torch.where(exists & inside, zero, torch.polar(bound, torch.full_like(bound, math.pi / 2)))
    return NearestZero(zero, exists & inside & _is_nearest(sums, zero, others))


def _starts_on_circles(sums: TaylorSums, bound: Tensor) -> Tensor:
    """Points (m, starts) at which F / F' is small, on the two circles that hold the nearest zero between."""
    circles = _nearest_circles(sums, bound)
    distance = (sums.on_circles(circles) / sums.derivative_on_circles(circles)).abs()
    inner = distance[..., 1:-1]
    minimum = (inner <= distance[..., :-2]) & (inner <= distance[..., 2:])
    score = torch.where(minimum, inner, torch.inf).flatten(1)
    best = score.topk(_MINIMA, dim=1, largest=False).indices
    points = (circles[..., None] * sums.units()[1:-1]).flatten(1)
    return points.gather(1, best)


def _nearest_circles(sums: TaylorSums, bound: Tensor) -> Tensor:
    """Radii (m, 2) of a circle without zeros and of the next, which has one unless the reach is too short."""
    inner, outer = bound.log(), sums.reach.log()
    for _ in range(_HALVINGS):
        middle = (inner + outer) / 2
        counts, _ = winding_numbers(sums.on_circles(middle.exp()[:, None]))
        holds = counts[:, 0] > 0
        inner, outer = torch.where(holds, inner, middle), torch.where(holds, middle, outer)
    return torch.stack([inner, outer], dim=1).exp()


def _is_nearest(sums: TaylorSums, zero: Tensor, others: list[Tensor]) -> Tensor:
    """Whether F without this pair of zeros and the others has none within the circle through the first.

    Others are known to lie on the circle or outside. There, or just outside, they would turn F so sharply
    that the count is in doubt.
    """
    radius = zero.abs()[:, None]
    values, units = sums.on_odd_circle(radius)
    s = radius * units
    turning = values * _pair(s, zero).conj()
    for other in others:
        turning = torch.where(other.isnan()[:, None], turning, turning * _pair(s, other).conj())
    counts, clear = winding_numbers(turning)
    # Near the zero F is small by right; elsewhere that would be rounding.
    sound = (values.abs() > sums.rounding(radius)).all(1)
    return (counts == 0) & clear & sound


def _other_zeros(found: Tensor, step: Tensor, zero: Tensor) -> list[Tensor]:
    """Other zeros (m,) that were found no nearer than the first one, each once; nan where there is none."""
    size = zero.abs()[:, None]
    distance = torch.where((step < 1e-8) & (found.abs() > (1 - _EQUAL) * size), found.abs(), torch.inf)
    others = [zero]
    for _ in range(_OTHERS):
        same = (found - others[-1][:, None]).abs() <= 1e-5 * size
        distance = torch.where(same, torch.inf, distance)
        nearest, place = distance.min(1, keepdim=True)
        others.append(torch.where(nearest.isfinite(), found.gather(1, place), torch.nan)[:, 0])
    return others[1:]


def _pair(s: Tensor, zero: Tensor) -> Tensor:
    """A quadratic (m, points) with a zero (m,) and its conjugate, positive on the real axis."""
    return (s / zero[:, None] - 1) * (s / zero[:, None].conj() - 1)


def _zeros_of_pairs(partition: Partition) -> Tensor:
    """Nearest zeros (m, 2) of the top class with one other class alone, in the upper half plane."""
    slopes = partition.slopes
    moving = (slopes != 0) & partition.log_weights.isfinite()
    safe = torch.where(moving, slopes, 1.0)
    real = -partition.log_weights / safe
    distance = torch.where(moving, torch.hypot(real, math.pi / safe), torch.inf)
    nearest = distance.topk(min(_PAIRS, distance.shape[1]), dim=1, largest=False).indices
    return torch.complex(real.gather(1, nearest), (math.pi / safe).abs().gather(1, nearest))


def _has_two_slopes(partition: Partition) -> Tensor:
    """Samples with two different slopes: two classes, after those of equal slopes are merged."""
    weighted = partition.log_weights.isfinite()
    slopes = partition.slopes
    low = torch.where(weighted, slopes, torch.inf).amin(1, keepdim=True)
    high = torch.where(weighted, slopes, -torch.inf).amax(1, keepdim=True)
    return (~weighted | (slopes == low) | (slopes == high)).all(1) & (partition.spread > 0)


def _zero_of_two(partition: Partition) -> Tensor:
    """Nearest zero of two merged classes, whose slopes in s differ by 1."""
    upper = partition.slopes > 0
    if_top_is_upper = ~upper.any(1, keepdim=True) & (partition.slopes == 0)
    high = torch.where(upper | if_top_is_upper, partition.log_weights, -torch.inf).logsumexp(1)
    low = torch.where(upper | if_top_is_upper, -torch.inf, partition.log_weights).logsumexp(1)
    return torch.complex(low - high, torch.full_like(high, math.pi))
