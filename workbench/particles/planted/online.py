r"""``online_sgd``: one pass over fresh samples, what averaging is held against.

A step on one sample is :math:`\theta \leftarrow (\theta + \eta P g)/|\cdot|`. The rate is
:math:`\eta = c\, d^{-k/2}` (over :math:`1 + \sigma^2` for a single-index model): near the equator the signal
moves the overlap m by :math:`\eta k m^{k-1}` a step, normalising takes :math:`\eta^2 k d\, m/2`, and the
first wins at :math:`m = d^{-1/2}` for :math:`\eta < 2 d^{-k/2}` (derived here). It needs about
:math:`d^{k-1}` samples, as is known: Ben Arous, Gheissari and Jagannath, "Online stochastic gradient descent
on non-convex losses from high-dimensional inference", JMLR 2021.

A tensor of strength :math:`\sqrt n` is worth n independent ones of strength one. The gradient of one of
these at :math:`\theta` is :math:`k m^{k-1} v` plus noise that is normal, with covariance k in every tangent
direction: that law is drawn, and no tensor is made.
"""

import math

from torch import Tensor

from workbench.choices import check_number
from workbench.particles.noise import normals
from workbench.particles.planted.hermite import hermite, hermite_slope
from workbench.particles.planted.index_models import IndexModel
from workbench.particles.planted.model import Planted
from workbench.particles.planted.sphere import FIRST_STEP, normalise, tangent, uniform_points
from workbench.progress import progress

_RATES = {"tensor": 0.5, "single index": 0.1}


def online_sgd(model: Planted, *, rate: float | None = None, seed: int = 0) -> Tensor:
    """Points (runs, sizes, dim) after as many steps as each size has samples, from uniform starts.

    Parameters
    ----------
    model : Planted
        Says direction, dimension, order and sizes; samples are drawn anew.
    rate : float, optional
        c of the learning rate, positive; by default 0.5 for tensors, 0.1 for single-index models, whose
        squared gradients are 25 times as large near the direction (k = 3) and would throw the point out.
    seed : int
        Of start and samples.

    Raises
    ------
    ValueError
        If the rate is not positive.
    KeyboardInterrupt
        From Ctrl-C: there is nothing to keep of a pass that is not at its end.
    """
    rate = _RATES[model.name] if rate is None else rate
    check_number("rate", rate, above=0, below=math.inf)
    noise = model.noise if isinstance(model, IndexModel) else None
    eta = rate * model.dim ** (-model.order / 2) / (1 + (noise or 0.0) ** 2)
    v, dtype = model.direction, model.direction.dtype
    theta = uniform_points(seed, model.runs, 1, model.dim, dtype)[:, 0]
    found = theta[:, None].repeat(1, len(model.sizes), 1)
    with progress(f"online SGD, {model.name} in {model.dim} dimensions", max(model.sizes)) as advance:
        for k in range(max(model.sizes)):
            draws = normals(seed, model.runs, FIRST_STEP + k, 2, model.dim, dtype)
            gradient = (
                _tensor_gradient(model.order, theta, v, draws[:, 0])
                if noise is None
                else _index_gradient(model.order, theta, v, draws[:, 0], noise * draws[:, 1, :1])
            )
            theta = normalise(theta + eta * tangent(theta, gradient))
            for place, size in enumerate(model.sizes):
                if size == k + 1:
                    found[:, place] = theta
            if k % 256 == 255:
                advance(256)
    return found


def _tensor_gradient(order: int, theta: Tensor, v: Tensor, z: Tensor) -> Tensor:
    pull = (theta * v).sum(-1, keepdim=True) ** (order - 1)
    return order * pull * v + math.sqrt(order) * z


def _index_gradient(order: int, theta: Tensor, v: Tensor, x: Tensor, noise: Tensor) -> Tensor:
    label = hermite(order, (x * v).sum(-1, keepdim=True)) + noise
    return label * hermite_slope(order, (x * theta).sum(-1, keepdim=True)) * x
