"""``planted_maximiser``: a problem whose only maximiser is known."""

import math

import torch
from torch import Tensor

from workbench.choices import check_count, check_number
from workbench.particles.attacks.surrogates import Surrogate
from workbench.random_vectors import generator

_STREAM = 1 << 20  # draws of problems are none of those that a search takes for itself with the same seed
_BEND = 0.5  # of the network: below 1, so that no two points have the same outputs


def planted_maximiser(dim: int = 20, condition: float = 100.0, bits: int = 0, seed: int = 0) -> Surrogate:
    r"""A residual network with a quadratic head whose peak is planted at the outputs of a random point.

    The network is :math:`\Phi(x) = x + \frac12 W \tanh(V x)` with orthogonal V and W, so it is one to one,
    and the goal is :math:`-(y - y^*)^\top D (y - y^*)`, with eigenvalues of D spread by their logarithm over
    1 / condition to 1 in random directions and :math:`y^* = \Phi(x^*)`. The maximum is 0, at
    :math:`x^*` alone.

    Parameters
    ----------
    dim : int
        At least 2.
    condition : float
        Of D; at least 1.
    bits : int
        Round the outputs to multiples of :math:`2^{-bits}`: their gradient is then zero, and an attack sees
        nothing. 0: do not round.
    seed : int

    Raises
    ------
    ValueError
        If a number is out of range.
    """
    check_count("dim", dim, low=2)
    check_count("bits", bits, low=0, high=40)
    check_count("seed", seed, low=0)
    check_number("condition", condition, low=1, below=math.inf)
    draws = generator(_STREAM + seed)
    inner, outer, turn = (_rotation(dim, draws) for _ in range(3))
    exponents = torch.linspace(-math.log(condition), 0, dim, dtype=torch.float64)
    head = turn @ torch.diag(exponents.exp()) @ turn.T
    peak = torch.randn(dim, generator=draws, dtype=torch.float64)

    def smooth(points: Tensor) -> Tensor:
        return points + _BEND * torch.tanh(points @ inner.T) @ outer.T

    planted = smooth(peak[None])[0]
    scale = 2.0**bits

    def network(points: Tensor) -> Tensor:
        outputs = smooth(points)
        return torch.round(outputs * scale) / scale if bits else outputs

    def goal(outputs: Tensor) -> Tensor:
        away = outputs - planted
        return -((away @ head) * away).sum(-1)

    rounded = f", {bits} bits" if bits else ""
    return Surrogate(
        name=f"planted maximiser ({dim}{rounded}, seed {seed})",
        network=network,
        goal=goal,
        start=torch.zeros(dim, dtype=torch.float64),
    )


def _rotation(dim: int, draws: torch.Generator) -> Tensor:
    """A random orthogonal matrix."""
    return torch.linalg.qr(torch.randn(dim, dim, generator=draws, dtype=torch.float64)).Q
