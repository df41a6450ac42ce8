"""Noise of stochastic gradients, independent in every coordinate, with its moments."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from scipy import integrate
from torch import Tensor

PARETO_TAIL = 1.6  # P(|ξ| > x) falls as x^-1.6: no variance


@dataclass(frozen=True)
class Noise:
    """A symmetric noise.

    Attributes
    ----------
    draw : callable
        ``draw(shape, generator)`` returns float32 samples.
    variance : float
        Of a coordinate; inf if it has none.
    mean_power : callable
        ``mean_power(p)`` returns the mean of |1 + ξ|^p.
    """

    draw: Callable[[tuple[int, ...], torch.Generator], Tensor]
    variance: float
    mean_power: Callable[[float], float]


def _signs(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randint(0, 2, shape, generator=generator).float().mul_(2).sub_(1)


def _normal(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator)


def _pareto(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Of either sign, |ξ| = u^(-1/a) - 1 with u uniform: it starts at 0, and its tail is a power."""
    uniform = torch.rand(shape, generator=generator, dtype=torch.float64).mul_(2).sub_(1)
    size = uniform.abs().clamp_(min=1e-300).pow_(-1 / PARETO_TAIL).sub_(1)
    return size.copysign_(uniform).float()


def _normal_power(power: float) -> float:
    return _mean_power(lambda x: math.exp(-x * x / 2) / math.sqrt(2 * math.pi), power)


def _pareto_power(power: float) -> float:
    if power >= PARETO_TAIL:
        return math.inf
    return _mean_power(lambda x: PARETO_TAIL / 2 * (1 + x) ** (-PARETO_TAIL - 1), power)


def _mean_power(density: Callable[[float], float], power: float) -> float:
    """Mean of |1 + ξ|^p, where ξ and -ξ have the density at |ξ|."""

    def both(x: float) -> float:
        return ((1 + x) ** power + abs(1 - x) ** power) * density(x)

    parts = [integrate.quad(both, low, high)[0] for low, high in ((0, 1), (1, 10), (10, math.inf))]
    return float(sum(parts))


NOISES = {
    "none": Noise(lambda shape, generator: torch.zeros(shape), 0.0, lambda power: 1.0),
    "signs": Noise(_signs, 1.0, lambda power: 2 ** (power - 1)),
    "gaussian": Noise(_normal, 1.0, _normal_power),
    "pareto": Noise(_pareto, math.inf, _pareto_power),
}
