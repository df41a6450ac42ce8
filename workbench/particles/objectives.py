"""What may be minimised: functions of many points at once, and of one point at a price that is told."""

import math
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from workbench.particles.landscapes import Landscape

GRADIENT_COST = 3  # evaluations: a forward pass, and a backward pass of twice its work, as is usual
Objective = Callable[[Tensor], Any]
_PROBES = 4


class Read(NamedTuple):
    """An objective that was tried on a few points.

    Attributes
    ----------
    function : callable
        Of points (..., dim); returns energies (...), a tensor.
    name : str
        For titles.
    differentiable : bool
        Whether autograd gives its gradient.
    """

    function: Callable[[Tensor], Tensor]
    name: str
    differentiable: bool


def read_objective(objective: Objective, probes: Tensor, evaluations: int) -> Read:
    """Find out what kind of function an objective is, by calling it on the first of some points (..., dim).

    Cost: 10 evaluations at most, and as many timed ones of a function of one point.

    Raises
    ------
    TypeError
        If it is not callable, or returns neither one number a point nor, for one point, one number.
    ValueError
        If it is a landscape of another dimension, or changes the points that it is given.

    Warns
    -----
    UserWarning
        If it takes one point at a time: what a call costs, and all ``evaluations`` of the run.
    """
    if not callable(objective):
        raise TypeError(f"objective is a {type(objective).__name__}, not a function of points (..., dim)")
    dim = probes.shape[-1]
    if isinstance(objective, Landscape) and objective.dim not in (None, dim):
        raise ValueError(f"{objective.name} is a function of {objective.dim} variables, not of dim={dim}")
    if isinstance(objective, Landscape) and dim < objective.least_dim:
        raise ValueError(f"{objective.name} takes at least {objective.least_dim} variables, not dim={dim}")
    probes = _few(probes)
    name = str(getattr(objective, "name", getattr(objective, "__name__", type(objective).__name__)))
    function: Callable[[Tensor], Tensor]
    if _is_batched(objective, probes):
        function = objective
    else:
        function = PointByPoint(objective)
        cost = _measure(objective, probes)
        warnings.warn(
            f"{name} takes one point at a time: {1e6 * cost:.3g} µs a call, {cost * evaluations:.3g} s for "
            f"the {evaluations} of this run; write it as a function of points (..., dim) that returns a "
            "tensor (...)",
            stacklevel=3,
        )
    return Read(function, name, _is_differentiable(function, probes))


class PointByPoint:
    """A function of one point (dim,) as one of many (..., dim)."""

    def __init__(self, function: Objective) -> None:
        self.function = function

    def __call__(self, points: Tensor) -> Tensor:
        """Energies (...) of points (..., dim), by as many calls."""
        flat = points.reshape(-1, points.shape[-1])
        values = torch.stack([torch.as_tensor(self.function(point)).to(points) for point in flat])
        return values.reshape(points.shape[:-1])


def _few(points: Tensor) -> Tensor:
    """Three of the points (3, dim), or four in three dimensions: sums over another axis do not fit then."""
    flat = points.detach().reshape(-1, points.shape[-1])
    count = _PROBES if points.shape[-1] == _PROBES - 1 else _PROBES - 1
    return flat[torch.arange(count, device=flat.device) % len(flat)]


def _is_batched(objective: Objective, probes: Tensor) -> bool:
    """Whether it takes (2, n, dim) to (2, n)."""
    points = torch.stack([probes, probes.flip(0)])
    given = points.clone()
    try:
        with torch.no_grad():
            together = objective(points)
    except Exception:
        together = None  # it is asked for one point next, and what that raises is for the caller
    _check_untouched(points, given)
    if isinstance(together, Tensor) and together.shape == points.shape[:-1]:
        return True
    dim = probes.shape[-1]
    try:
        with torch.no_grad():
            alone = objective(points[0, 0])
    except Exception as error:
        error.add_note(
            f"The objective takes neither points (..., dim={dim}) to energies (...) nor one point ({dim},)."
        )
        raise
    _check_untouched(points, given)
    if alone is None or math.prod(np.shape(alone)) != 1:
        raise TypeError(
            f"the objective returns {_what(alone)} for one point ({dim},): it must "
            "return (...) for points (..., dim), or one number for one point"
        )
    return False


def _what(value: Any) -> str:
    return f"shape {tuple(np.shape(value))}" if np.ndim(value) else f"a {type(value).__name__}"


def _check_untouched(points: Tensor, given: Tensor) -> None:
    if not torch.equal(points, given):
        raise ValueError("the objective changes the points that it is given: let it work on a copy of them")


def _measure(objective: Objective, probes: Tensor) -> float:
    """Seconds of one call: the least of a few."""
    seconds = []
    with torch.no_grad():
        for point in probes:
            begin = time.perf_counter()
            objective(point)
            seconds.append(time.perf_counter() - begin)
    return min(seconds)


def _is_differentiable(function: Callable[[Tensor], Tensor], probes: Tensor) -> bool:
    try:
        gradients(function, probes)
    except RuntimeError:
        return False
    return True


def energies(function: Callable[[Tensor], Tensor], points: Tensor) -> Tensor:
    """Energies (...) at points (..., dim), of their dtype, without a gradient.

    Raises
    ------
    TypeError
        If the function returns another shape.
    """
    with torch.no_grad():
        found = function(points).detach().to(points)
    if found.shape != points.shape[:-1]:
        raise TypeError(
            f"the objective returns shape {tuple(found.shape)} for points {tuple(points.shape)}: it must "
            f"return {tuple(points.shape[:-1])}"
        )
    return found


def gradients(function: Callable[[Tensor], Tensor], points: Tensor) -> Tensor:
    """Gradients (..., dim) at points (..., dim), by autograd: one forward and one backward pass."""
    with torch.enable_grad():
        points = points.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(function(points).sum(), points)
    return gradient.detach()
