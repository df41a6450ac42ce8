"""``step_scales``: all the lengths that a step can be held against, along one direction."""

import dataclasses
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.optim import Optimizer

from workbench.colors import BLUE, GREEN, ORANGE, SKY, VERMILION
from workbench.curvature import hessian
from workbench.problem import Problem
from workbench.result import Result, new_axes
from workbench.stability.baselines import clipped_step
from workbench.stability.problem_radius import read_direction
from workbench.stability.radii import logit_radius, minimum_radius
from workbench.stability.slopes import logits_and_slopes
from workbench.stability.updates import put_back

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SHOWN = {  # in the order of the rows: what it is called, its colour, and the marker
    "step": ("step τ", VERMILION, "D"),
    "spread": ("ρₐ = π/Δ", SKY, "o"),
    "majority": ("majority bound", BLUE, "o"),
    "exact": ("ρ*, nearest ghost", "black", "*"),
    "back": ("quadratic back at its start", GREEN, "s"),
    "inverse_curvature": ("2/(vᵀHv)", GREEN, "^"),
    "clipped": ("step, gradient clipped", ORANGE, "D"),
}


class Radii(NamedTuple):
    """The radii of the mean loss along a unit vector: two bounds, and the distance of the nearest ghost.

    Attributes
    ----------
    spread, majority, exact : float
        By kind, see :func:`logit_radius`; inf if no logit moves.
    certified : bool
        Whether the exact one is certified; otherwise a majority bound stands in for it.
    """

    spread: float
    majority: float
    exact: float
    certified: bool


def radii_along(problem: Problem, unit: Tensor) -> Radii:
    """All three radii along a unit vector (n,), from one forward-mode pass over the data."""
    pairs = list(logits_and_slopes(problem, unit))
    logits, slopes = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    spread, majority = (logit_radius(logits, slopes, kind).minimum for kind in ("spread", "majority"))
    exact = minimum_radius(logits, slopes)
    return Radii(spread, majority, exact.radius, exact.certified)


@dataclasses.dataclass(frozen=True, repr=False)
class StepScales(Result):
    """Lengths along a unit vector v, to be read on one axis.

    Attributes
    ----------
    step : float
        Length of the vector given, such as an optimizer's update; see :class:`TaylorRadius`.
    spread, majority, exact : float
        Radii within which the linearised loss is its Taylor series: the two bounds, and the distance.
    exact_certified : bool
        Whether ``exact`` is; otherwise the majority bound of an example stands in for it.
    curvature : float
        v'Hv over the data.
    slope : float
        Derivative of the loss along v.
    clipped : float
        Length of the update with the gradient clipped to ``clip``; nan unless an optimizer was given.
    clip : float
        That length of the gradient.
    direction : str
        What v is.
    """

    step: float
    spread: float
    majority: float
    exact: float
    exact_certified: bool
    curvature: float
    slope: float
    clipped: float
    clip: float
    direction: str

    @property
    def inverse_curvature(self) -> float:
        """2/(v'Hv), inf where the curvature is not positive.

        The largest stable learning rate on the quadratic; it is a distance for a gradient of length 1.
        """
        return 2 / self.curvature if self.curvature > 0 else math.inf

    @property
    def back(self) -> float:
        """Distance 2|g'v|/(v'Hv) at which the quadratic is back at its start; inf if it does not curve up."""
        return abs(self.slope) * self.inverse_curvature if self.curvature > 0 else math.inf

    def frame(self) -> pd.DataFrame:
        """One row per length, with the step over it."""
        lengths = [float(getattr(self, name)) for name in _SHOWN]
        return pd.DataFrame(
            {
                "name": list(_SHOWN),
                "length": lengths,
                "step_over_it": [self.step / length if length else math.inf for length in lengths],
            }
        )

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """All lengths on one logarithmic axis; up to the exact radius it is shaded."""
        ax = new_axes(ax)
        drawn = [name for name in _SHOWN if np.isfinite(getattr(self, name)) and getattr(self, name) > 0]
        for row, name in enumerate(drawn):
            _, color, marker = _SHOWN[name]
            value = getattr(self, name)
            ax.axhline(row, color="0.9", zorder=0)
            ax.plot(value, row, marker, color=color, markersize=10)
            ax.annotate(f"{value:.3g}", (value, row), (8, 6), textcoords="offset points", fontsize="small")
        ax.set_yticks(range(len(drawn)), [_SHOWN[name][0] for name in drawn])
        ax.set_xscale("log")
        ax.margins(x=0.15, y=0.15)
        ax.invert_yaxis()
        ax.axvline(self.step, color=VERMILION, linewidth=1, zorder=0)
        if math.isfinite(self.exact):
            left, right = ax.get_xlim()
            ax.axvspan(left, self.exact, color=BLUE, alpha=0.08, zorder=0)
            ax.set_xlim(left, right)
        ax.set_xlabel(f"distance along the {self.direction}")
        ax.set_title(self.summary().splitlines()[0], fontsize="small")
        return ax

    def summary(self) -> str:
        """The step in each radius, and the curvature along it."""
        worth = "certified for linearised logits" if self.exact_certified else "NOT certified"
        clipping = f"{self.clipped:.4g} with the gradient clipped to {self.clip:g}"
        lines = [
            f"step {self.step:.4g} = {self.step / self.exact:.3g} ρ* = {self.step / self.spread:.3g} ρₐ "
            f"along the {self.direction}",
            f"ρ* {self.exact:.4g} ({worth}), at least {self.majority:.4g}; ρₐ {self.spread:.4g}",
            f"vᵀHv {self.curvature:.4g}, slope {self.slope:.4g}: the quadratic is back at {self.back:.4g}",
        ]
        if math.isfinite(self.clipped):
            lines.append(f"the step would be {clipping}")
        return "\n".join(
            [*lines, "up to two gradients, a Hessian product and a forward-mode pass over the data"]
        )


def step_scales(problem: Problem, direction: Any, *, clip: float = 1.0, seed: int = 0) -> StepScales:
    r"""Return the step, three radii and what the curvature says, as lengths along one direction.

    Parameters
    ----------
    problem : Problem
        Its loss is a cross entropy of logits, see :func:`logits_and_slopes`.
    direction : Optimizer, {"gradient", "random"}, Eigenpairs or Tensor (n,)
        As in :func:`taylor_radius`; an optimizer stands for the update that it would make now.
    clip : float
        Length to which the gradient is clipped for the comparison, above 0.
    seed : int
        Of the random direction.

    Returns
    -------
    StepScales

    Raises
    ------
    ValueError
        If ``clip`` is not positive, or as :func:`taylor_radius` does.

    Notes
    -----
    Cost: one gradient, one Hessian product and one forward-mode pass over the data, and exact radii of the
    examples that can have the least; for ``"gradient"`` and an optimizer a second gradient.

    A radius is a distance, and :math:`2/v^\top H v` a learning rate: they compare as numbers only where the
    gradient has length 1. The distance that belongs to it is :math:`2 |g^\top v| / v^\top H v`.
    """
    if not 0 < clip < math.inf:
        raise ValueError(f"clip={clip} is out of range: it must be positive and finite")
    vector, label, step = read_direction(problem, direction, seed)
    unit = vector / step
    gradient = problem.gradient()
    radii = radii_along(problem, unit)
    product = hessian(problem, check=False) @ unit
    clipped = (
        _clipped_length(problem, direction, gradient, clip) if isinstance(direction, Optimizer) else math.nan
    )
    return StepScales(
        step=step,
        spread=radii.spread,
        majority=radii.majority,
        exact=radii.exact,
        exact_certified=radii.certified,
        curvature=float(unit.double() @ product.double()),
        slope=float(unit.double() @ gradient.double()),
        clipped=clipped,
        clip=float(clip),
        direction=label,
    )


def _clipped_length(problem: Problem, optimizer: Optimizer, gradient: Tensor, clip: float) -> float:
    """Length of the update from the clipped gradient; optimizer and parameters are as before afterwards."""
    parts = problem.as_parameters(gradient)
    selected = {part.name: problem.model.get_parameter(part.name) for part in problem.layout}
    with put_back(optimizer, selected.values()):
        before = problem.parameters_vector().double()
        for name, parameter in selected.items():
            parameter.grad = parts[name].to(parameter.dtype).clone()
        clipped_step(optimizer, clip)
        return float((problem.parameters_vector().double() - before).norm())
