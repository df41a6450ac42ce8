"""``logit_radius``: certified distance to the nearest zero of the partition function on a line."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class LogitRadius:
    """Radius (samples,), whether it is certified, and the kind of bound."""

    radius: Tensor
    certified: Tensor
    kind: str


def logit_radius(logits: Tensor, slopes: Tensor, kind: str = "majority") -> LogitRadius:
    """Radius by the spread of the slopes, or the bound that no class holds the majority at a zero."""
    z, a = logits.double(), slopes.double()
    spread = a.amax(1) - a.amin(1)
    radius = math.pi / spread
    if kind == "majority":
        radius = torch.hypot(radius, torch.minimum(_flip(z, a), _flip(z, -a)))
    return LogitRadius(radius, torch.ones_like(radius, dtype=torch.bool), kind)


def _flip(z: Tensor, a: Tensor) -> Tensor:
    """Distance ahead at which the top class falls to one half, by bisection; inf if it never does."""
    top = z.argmax(1, keepdim=True)
    d, b = z - z.gather(1, top), a - a.gather(1, top)
    others = torch.ones_like(d, dtype=torch.bool).scatter(1, top, False)
    d, b = d[others].view(len(z), -1), b[others].view(len(z), -1)
    crossing = torch.where(b > 0, -d / b, torch.inf).amin(1)
    low, high = torch.zeros_like(crossing), crossing
    for _ in range(100):
        middle = (low + high) / 2
        beyond = (d + middle[:, None] * b).logsumexp(1) >= 0
        low, high = torch.where(beyond, low, middle), torch.where(beyond, middle, high)
    return torch.where(d.logsumexp(1) >= 0, 0.0, torch.where(crossing.isfinite(), low, torch.inf))
