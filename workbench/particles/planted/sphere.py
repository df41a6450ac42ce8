r"""The unit sphere: steps on it, and exact laws of what walks there.

A step without drift is :math:`\theta' = (\theta + s P z)/|\cdot|` with :math:`P = I - \theta\theta^\top`,
normal z and :math:`s^2 = 2\delta/(d-1)`. It turns in a direction that knows nothing of the past, so
:math:`\mathrm E[\theta' | \theta] = c\,\theta` with :math:`c = \mathrm E(1 + s^2\chi^2_{d-1})^{-1/2}`,
about :math:`e^{-\delta}`: of Brownian motion, whose first eigenvalue is d - 1, it would be that exactly.
All of it is derived here.
"""

import math

import numpy as np
import torch
from torch import Tensor

from workbench.particles.noise import normals

DIRECTION, START, DATA, LABELS, FIRST_STEP = range(5)  # what the steps of the noise's counter are for


def normalise(x: Tensor) -> Tensor:
    """Rows of length one; zero rows stay zero."""
    return x / x.norm(dim=-1, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)


def tangent(theta: Tensor, x: Tensor) -> Tensor:
    """The part of x (..., d) that is orthogonal to the unit vectors theta (..., d)."""
    return x - (x * theta).sum(-1, keepdim=True) * theta


def uniform_points(
    seed: int, runs: range, count: int, dim: int, dtype: torch.dtype, step: int = START
) -> Tensor:
    """Points (runs, count, dim) uniform on the sphere."""
    return normalise(normals(seed, runs, step, count, dim, torch.float64)).to(dtype)


def spherical_moment(power: int, dim: int) -> float:
    r"""Mean of :math:`t^p` over the sphere for one coordinate t: :math:`(p-1)!!/(d(d+2)\cdots(d+p-2))`."""
    if power % 2:
        return 0.0
    return math.prod((odd / (dim + odd - 1) for odd in range(1, power, 2)), start=1.0)


def step_correlation(step: float, dim: int) -> float:
    r"""The mean cosine c of one step of size :math:`\delta` without drift, exact to rounding.

    As :math:`\pi^{-1/2} \int e^{-w^2} (1 + 2 s^2 w^2)^{-(d-1)/2} dw`, by the trapezoidal rule, whose error
    is :math:`e^{-2\pi a/h}` for an integrand without a pole within a of the real line; here
    :math:`a = (2 s^2)^{-1/2} > 0.7` and h = 0.1.
    """
    w = np.arange(-65, 66) / 10
    values = np.exp(-(w**2)) * (1 + 4 * step / (dim - 1) * w**2) ** (-(dim - 1) / 2)
    return float(values.sum() / (10 * math.sqrt(math.pi)))


def average_square(correlation: float, steps: int) -> float:
    """Mean of the squared length of the average of ``steps`` points whose neighbours have this correlation.

    The first is uniform; exact. For many steps of a small size it is 2 / (δ steps).
    """
    c = correlation
    return (1 + c) / (1 - c) / steps - 2 * c * (1 - c**steps) / (steps * (1 - c)) ** 2


def von_mises_fisher_mean(kappa: float, dim: int) -> float:
    r"""Mean of :math:`\theta\cdot\mu` of the density :math:`\propto e^{\kappa\theta\cdot\mu}` on the sphere.

    :math:`A_d(\kappa) = I_{d/2}(\kappa)/I_{d/2-1}(\kappa)`.
    """
    from scipy.special import ive

    return float(ive(dim / 2, kappa) / ive(dim / 2 - 1, kappa)) if kappa else 0.0
