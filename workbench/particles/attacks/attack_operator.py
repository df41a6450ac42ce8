r"""``attack``: the step within a radius that pushes a network's outputs furthest along a direction.

At x, with :math:`d = \nabla f(\Phi(x))`, an attack looks for

.. math:: \arg\max_{\|u\| \le r}\; d^\top (\Phi(x + u) - \Phi(x)).

To first order that is :math:`u = r\,\mathrm{sign}(J^\top d)` in the maximum norm (FGSM) and
:math:`u = r\,J^\top d / \|J^\top d\|` in the Euclidean one: one backward pass. PGD climbs on within the ball
of the maximum norm.

Sources: the attack operator is that of Bouchet and Vidal, "Optimization by Directional Attacks",
arXiv:2510.01461 (its abstract and the authors' code were read, not its theorems; the code calls a library's
FGSM, whose loss is a cross entropy with d for a target, where this one is the linear functional above).
FGSM: Goodfellow et al., arXiv:1412.6572. PGD: Madry et al., arXiv:1706.06083.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from workbench.choices import check_choice, check_count, check_number
from workbench.particles.attacks.surrogates import Surrogate
from workbench.random_vectors import generator as seeded

ATTACKS = ("fgsm", "pgd", "l2")
AIMS = ("goal", "violation")
_REACH = 2.5  # PGD's steps together, in radii: enough to cross the ball


class Attack(NamedTuple):
    """An attack.

    Attributes
    ----------
    step : Tensor (dim,), optional
        From the point to the attacked one, clipped into the box; None if there is no direction: the gradient
        is zero, not finite, or does not exist, or it leads out of the box.
    gradients : int
        Backward passes through the network that it took, each with its forward pass.
    """

    step: Tensor | None
    gradients: int


def attack(
    surrogate: Surrogate,
    point: Tensor,
    radius: float,
    kind: str = "fgsm",
    *,
    steps: int = 10,
    aim: str = "goal",
    slope: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Attack:
    r"""Push the outputs along the gradient of the goal, from a point, within a radius.

    Parameters
    ----------
    surrogate : Surrogate
    point : Tensor (dim,)
    radius : float
        In the maximum norm for ``"fgsm"`` and ``"pgd"``, in the Euclidean one for ``"l2"``.
    kind : {"fgsm", "pgd", "l2"}
        Which norm, and whether the network is taken as linear within the radius.
    steps : int
        Of PGD.
    aim : {"goal", "violation"}
        Raise the goal, or lower the violation of the constraints (derived here).
    slope : Tensor (dim,), optional
        :math:`J^\top d` at the point, if it is known: FGSM and L2 then cost nothing.
    generator : torch.Generator, optional
        Of PGD's random start; by default from seed 0.

    Returns
    -------
    Attack

    Raises
    ------
    ValueError
        If a choice is unknown or a number out of range.

    Notes
    -----
    Cost: one gradient for FGSM and L2, none if ``slope`` is given; ``steps`` gradients for PGD, and a forward
    pass that is not counted.
    """
    check_choice("kind", kind, ATTACKS)
    check_choice("aim", aim, AIMS)
    check_count("steps", steps)
    check_number("radius", radius, above=0, below=math.inf)
    if kind == "pgd":
        return _climb(surrogate, point, radius, steps, aim, generator or seeded(0))
    known = slope is not None
    slope = slope if slope is not None else ascent(surrogate, point, aim)
    if not _leads(slope):
        return Attack(None, 0 if known else 1)
    step = radius * (slope.sign() if kind == "fgsm" else _unit(slope))
    return Attack(_within(surrogate, point, step), 0 if known else 1)


def ascent(
    surrogate: Surrogate, point: Tensor, aim: str = "goal", *, direction: Tensor | None = None
) -> Tensor:
    r"""The gradient :math:`J^\top d` (dim,) of :math:`d^\top \Phi` at a point, zero if there is none.

    By default d is the direction at the point itself, and this the gradient of the goal: one forward and one
    backward pass.
    """
    with torch.enable_grad():
        x = point.detach().clone().requires_grad_()
        outputs = surrogate.network(x[None])
        if not outputs.requires_grad:
            return torch.zeros_like(point)
        pushed = surrogate.direction(outputs, aim) if direction is None else direction
        (slope,) = torch.autograd.grad(outputs, x, pushed, allow_unused=True, materialize_grads=True)
    return slope.detach()


def _climb(
    surrogate: Surrogate, point: Tensor, radius: float, steps: int, aim: str, generator: torch.Generator
) -> Attack:
    """Projected gradient ascent by signs from a random place in the cube."""
    with torch.no_grad():
        direction = surrogate.direction(surrogate.network(point[None]), aim)
    start = 2 * torch.rand(len(point), generator=generator, dtype=torch.float64) - 1
    u = radius * start.to(point)
    for done in range(1, steps + 1):
        slope = ascent(surrogate, surrogate.clipped(point + u), direction=direction)
        if not _leads(slope):
            return Attack(None, done)
        u = (u + _REACH * radius / steps * slope.sign()).clamp(-radius, radius)
    return Attack(_within(surrogate, point, u), steps)


def _within(surrogate: Surrogate, point: Tensor, step: Tensor) -> Tensor | None:
    """The step as far as the box allows; None if nothing is left of it."""
    left = surrogate.clipped(point + step) - point
    return left if left.any() else None


def _unit(slope: Tensor) -> Tensor:
    """The vector over its length, whose squares may be 0 for a saturated network and inf for a steep one."""
    scaled = slope / slope.abs().max()
    return scaled / torch.linalg.vector_norm(scaled)


def _leads(slope: Tensor) -> bool:
    """Whether a gradient tells of a direction."""
    return bool(slope.isfinite().all() and slope.any())
