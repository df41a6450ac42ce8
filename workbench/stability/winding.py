"""A partition function on circles around the origin, and its winding numbers there."""

import functools
import math

import torch
from torch import Tensor

from workbench.stability.partition import Partition

_NOISE = 1e3 * torch.finfo(torch.float64).eps
_CACHED = 2**15  # numbers at a time, which a processor's cache holds
_SHARPEST_TURN = 2.5  # radians between neighbouring points; at pi the direction of a turn is unknown
_STEEPEST = -1 / math.tan(_SHARPEST_TURN)


class TaylorSums:
    r"""Taylor polynomials :math:`F(s) = \sum_n c_n (s / R)^n` of some samples, to rounding where |s| <= R.

    Parameters
    ----------
    partition : Partition
        The samples, m of them.
    reach : Tensor (m,)
        Their R.

    Notes
    -----
    Cost: K passes over the (m, classes) slopes, with :math:`K = R + 10 \sqrt R + 24` of the largest R; the
    rest does not depend on the number of classes.
    """

    def __init__(self, partition: Partition, reach: Tensor) -> None:
        self.reach = reach
        largest = float(reach.max())
        order = int(largest + 10 * math.sqrt(largest)) + 24
        rows = max(1, _CACHED // partition.slopes.shape[1])
        weights, scaled = partition.log_weights.exp(), partition.slopes * reach[:, None]
        parts = zip(weights.split(rows), scaled.split(rows), strict=True)
        self.coefficients = torch.cat([_moments(*part, order) for part in parts])
        self.points = 64 * math.ceil(order / 32 + 1)  # a length that FFTs are fast at

    def on_circles(self, radii: Tensor) -> Tensor:
        """F on upper half circles (m, c) at equal angles from 0 to pi: (m, c, points / 2 + 1)."""
        return torch.fft.rfft(self._powers(radii), n=self.points).conj()

    def on_odd_circle(self, radius: Tensor) -> tuple[Tensor, Tensor]:
        """F (m, points / 2 + 2) on half circles of radius (m, 1), and the points of the unit circle it is at.

        The full circle has an odd number of them, so that none is at pi / 2, where symmetric samples have
        their nearest zero. The last is at pi, put after the others.
        """
        count = self.points + 1
        powers = self._powers(radius)[:, 0]
        values = torch.fft.rfft(powers, n=count).conj()
        signs = 1 - 2 * (torch.arange(powers.shape[1], device=powers.device) % 2)
        end = (powers * signs).sum(1, keepdim=True)
        angles = torch.arange(count // 2 + 1, dtype=torch.float64, device=radius.device)
        angles = torch.cat([angles * (2 * math.pi / count), angles.new_full((1,), math.pi)])
        return torch.cat([values, end], dim=1), torch.polar(torch.ones_like(angles), angles)

    def derivative_on_circles(self, radii: Tensor) -> Tensor:
        """``s F'(s)`` at the same points."""
        orders = torch.arange(self.coefficients.shape[1], device=radii.device)
        return torch.fft.rfft(self._powers(radii) * orders, n=self.points).conj()

    def rounding(self, radii: Tensor) -> Tensor:
        """What values on circles (m, c) may be rounded by, generously."""
        return _NOISE * self._powers(radii).abs().sum(-1)

    def units(self) -> Tensor:
        """The points of the upper half of the unit circle, where values are given."""
        angles = torch.arange(self.points // 2 + 1, dtype=torch.float64, device=self.reach.device)
        angles = angles * (2 * math.pi / self.points)
        return torch.polar(torch.ones_like(angles), angles)

    def values(self, s: Tensor) -> tuple[Tensor, Tensor]:
        """F and its derivative at complex points (m, p), by Horner's rule."""
        x = s / self.reach[:, None]
        value = torch.zeros_like(x)
        derivative = torch.zeros_like(x)
        for coefficient in self._descending:
            derivative.mul_(x).add_(value)
            value.mul_(x).add_(coefficient)
        return value, derivative / self.reach[:, None]

    @functools.cached_property
    def _descending(self) -> tuple[Tensor, ...]:
        """Coefficients (m, 1) from the highest order down, complex as the points: mixed types are slow."""
        return self.coefficients.flip(1).T.contiguous().to(torch.complex128)[..., None].unbind(0)

    def _powers(self, radii: Tensor) -> Tensor:
        orders = torch.arange(self.coefficients.shape[1], device=radii.device)
        return self.coefficients[:, None] * (radii / self.reach[:, None])[..., None] ** orders


def _moments(weights: Tensor, slopes: Tensor, order: int) -> Tensor:
    """Sums of weights times slopes to the power n, over n!: (m, order + 1)."""
    term = weights.clone()
    sums = [term.sum(1)]
    for n in range(1, order + 1):
        term.mul_(slopes).div_(n)
        sums.append(term.sum(1))
    return torch.stack(sums, dim=1)


def winding_numbers(values: Tensor) -> tuple[Tensor, Tensor]:
    """Count zeros above the real axis from values (..., points) on an upper half circle.

    The function is real on the real axis and positive at both ends, so that it winds around 0 a whole number
    of times: as often as it crosses the negative axis downwards more than upwards.

    Returns
    -------
    counts : Tensor (...) of int
        Zeros within, each pair of conjugates once.
    clear : Tensor (...) of bool
        Whether no turn between neighbouring points is so sharp that its direction is in doubt.
    """
    turns = values[..., 1:] * values[..., :-1].conj()
    along, across = turns.real, turns.imag
    above = values.imag >= 0
    downwards = (above[..., :-1] > above[..., 1:]) & (across > 0)
    upwards = (above[..., :-1] < above[..., 1:]) & (across < 0)
    return downwards.sum(-1) - upwards.sum(-1), (along > -_STEEPEST * across.abs()).all(-1)
