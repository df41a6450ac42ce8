"""``ray``: the loss along a direction, the loss with linearised logits, and its Taylor polynomials."""

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.optim import Optimizer

from workbench.batches import Batch
from workbench.choices import check_count
from workbench.colors import BLUE, GREEN, ORANGE, VERMILION
from workbench.curvature import slice_loss
from workbench.problem import Problem
from workbench.result import Result, new_axes
from workbench.stability.forward_mode import outputs_and_tangents
from workbench.stability.problem_radius import read_direction
from workbench.stability.radii import logit_radius, minimum_radius
from workbench.stability.slopes import rows_of
from workbench.stability.taylor_series import series

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_RADII = 2  # how many exact radii the line reaches by default
_DASHES = {"exact": "-", "majority": "--", "spread": ":"}


@dataclasses.dataclass(frozen=True, repr=False)
class Ray(Result):
    r"""The loss at distances tau along a unit direction, on both sides of the parameters.

    Attributes
    ----------
    distance : ndarray (points,)
        Tau, in the space of the parameters; negative against the direction.
    loss : ndarray (points,)
        The true loss; nan where an interrupt came first, inf or nan where it is that.
    linearised : ndarray (points,)
        The loss of the logits :math:`z + \tau J v`, whose Taylor series the radii belong to.
    coefficients : ndarray (order + 1,)
        Taylor coefficients of ``linearised`` at 0. The first two are those of the true loss; from the second
        order on, how the logits bend is left out.
    radii : dict of str to float
        Least ``"spread"``, ``"majority"`` and ``"exact"`` radius of all rows, see
        :func:`~workbench.stability.logit_radius`; inf if no logit moves.
    certified : bool
        Whether the exact radius is that; otherwise it is a bound below it.
    step : float, optional
        Length of the update, if the direction is an optimizer; it ends at ``distance == step``.
    direction : str
        What the direction is.
    precision : float
        Relative rounding error of a loss.
    terms : str
        What the loss is made of.
    interrupted : bool
        Whether the true loss is missing at some distances.
    """

    distance: np.ndarray
    loss: np.ndarray
    linearised: np.ndarray
    coefficients: np.ndarray
    radii: dict[str, float]
    certified: bool
    step: float | None
    direction: str
    precision: float
    terms: str = "loss"
    interrupted: bool = False

    @property
    def order(self) -> int:
        """Of the last polynomial."""
        return len(self.coefficients) - 1

    @property
    def polynomials(self) -> np.ndarray:
        """Taylor polynomials (order + 1, points) of the linearised loss; row n is that of order n."""
        powers = self.distance ** np.arange(self.order + 1)[:, None]
        return np.cumsum(self.coefficients[:, None] * powers, axis=0)

    @property
    def bend(self) -> float:
        """Largest difference of true and linearised loss up to the exact radius, as part of the change.

        The change is the largest one of the true loss there. nan if no point but 0 lies within.
        """
        inside = np.abs(self.distance) <= self.radii["exact"]
        loss, linear = self.loss[inside], self.linearised[inside]
        finite = np.isfinite(loss)
        change = np.abs(loss[finite] - self.coefficients[0]).max(initial=0.0)
        miss = np.abs(loss[finite] - linear[finite]).max(initial=0.0)
        return float(miss / change) if change else math.nan

    def span(self) -> tuple[float, float]:
        """Range of the finite losses with a margin, so that a polynomial that runs away stays outside."""
        both = np.concatenate([self.loss, self.linearised])
        both = both[np.isfinite(both)]
        margin = 0.08 * (both.max() - both.min()) or 0.08 * abs(both.max()) or 1.0
        return float(both.min() - margin), float(both.max() + margin)

    def frame(self) -> pd.DataFrame:
        """One row per distance."""
        columns = {"distance": self.distance, "loss": self.loss, "linearised": self.linearised}
        sums = {f"order_{n}": values for n, values in enumerate(self.polynomials) if n}
        return pd.DataFrame({**columns, **sums})

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Loss, linearised loss, and the polynomials, darker by their order; vertical lines at the radii."""
        ax = new_axes(ax)
        for n, values in enumerate(self.polynomials):
            if n:
                ax.plot(self.distance, values, color=ORANGE, alpha=0.25 + 0.75 * n / self.order, linewidth=1,
                        label=f"Taylor polynomials to order {n}" if n == self.order else None)  # fmt: skip
        ax.plot(self.distance, self.linearised, color=BLUE, linestyle="--", label="linearised logits")
        ax.plot(self.distance, self.loss, color=BLUE, label=self.terms)
        reach = self.distance[-1]
        for kind, dash in _DASHES.items():
            radius = self.radii[kind]
            if radius <= reach:
                ax.axvline(radius, color=GREEN, linestyle=dash, label=f"{kind} radius {radius:.3g}")
                ax.axvline(-radius, color=GREEN, linestyle=dash)
        if self.step is not None and self.step <= reach:
            ax.axvline(self.step, color=VERMILION, label=f"step {self.step:.3g}")
        ax.set_ylim(*self.span())
        ax.set_xlabel(f"distance along the {self.direction}")
        ax.set_ylabel(self.terms)
        ax.set_title(self.summary().splitlines()[0], fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """Radii, step, how far the linearised loss is the true one, and the cost."""
        radii = ", ".join(f"{kind} {self.radii[kind]:.4g}" for kind in _DASHES)
        note = "" if self.certified else " (NOT certified as exact: a bound below it)"
        lines = [f"Taylor radii along the {self.direction}: {radii}{note}"]
        if self.step is not None:
            lines.append(f"step {self.step:.4g} = {self.step / self.radii['exact']:.3g} exact radii")
        if not math.isnan(self.bend):
            lines.append(
                f"within the radius linearised logits miss up to {self.bend:.2g} of the loss's change"
            )
        done = int((~np.isnan(self.loss)).sum()) if self.interrupted else len(self.loss)
        stopped = f", INTERRUPTED at {done} of {len(self.loss)}" if self.interrupted else ""
        cost = f"{done} forward passes{stopped} and one forward-mode pass"
        lines.append(f"{cost}; a loss is right to {self.precision:.0e}")
        return "\n".join(lines)


def ray(
    problem: Problem,
    direction: Any,
    reach: float | None = None,
    points: int = 81,
    order: int = 8,
    *,
    seed: int = 0,
) -> Ray:
    r"""Follow the loss along a direction, beside the Taylor polynomials that a step could be planned with.

    The polynomials are of the loss with linearised logits, :math:`\sum_r w_r (\log F_r(\tau) - \dots)` with
    :math:`F_r(\tau) = \sum_k e^{z_{rk} + \tau a_{rk}}` and the slopes :math:`a = J v`. Within the exact
    radius they converge to it as the order grows, beyond it they do not. The true loss is another function as
    far as the logits bend; both are in the result.

    Parameters
    ----------
    problem : Problem
        Its loss is a cross entropy of logits, see :func:`~workbench.stability.logits_and_slopes`.
    direction : Optimizer, {"gradient", "random"}, Eigenpairs or Tensor (n,)
        As for :func:`~workbench.stability.taylor_radius`; made a unit vector. Gradient descent goes against
        the gradient, to negative distances; the update of an optimizer to its ``step``.
    reach : float, optional
        Distances go from ``-reach`` to ``reach``; by default twice the exact radius, or the length of the
        direction if that is infinite.
    points : int
        Odd, so that 0 is one of them, and at least 3.
    order : int
        Of the last polynomial, from 1 to 100.
    seed : int
        Of the random direction.

    Returns
    -------
    Ray
        An interrupt (Ctrl-C) returns the losses so far, from the middle outwards.

    Raises
    ------
    ValueError
        If the direction is zero, not finite, or of another length, the loss has no logits, or a number is out
        of range.
    TypeError
        If the direction is none of these.

    Notes
    -----
    Cost: a forward pass over the data per point, one forward-mode pass, and a gradient for an optimizer or
    ``"gradient"``. Outputs and slopes of all the data are held in memory.

    How much a row counts, :math:`w_r`, is read off the loss itself: its second derivative along the slopes
    is :math:`w_r` times the variance of the slopes under the softmax. So class weights, ignored targets,
    smoothed labels and sums are right without being known.

    Source of the radius: Sao, "Ghosts of softmax", arXiv:2603.13552. Weights derived here.
    """
    check_count("order", order, low=1, high=100)
    vector, label, length = read_direction(problem, direction, seed)
    unit = vector / length
    rows = rows_of(problem)
    batches, coefficients, least = [], torch.zeros(order + 1, dtype=torch.float64), []
    for batch, share in problem.batches():
        outputs, tangents = outputs_and_tangents(problem, batch, unit)
        targets = problem.batch_targets(batch)
        logits, slopes = rows(outputs, targets), rows(tangents, targets)
        least.append(_least_radii(logits, slopes))
        coefficients += share * _expand(problem, batch, outputs, tangents, order)
        batches.append((batch, share, outputs, tangents))
    radii = {kind: min(found[kind] for found, _ in least) for kind in _DASHES}
    certified = min(least, key=lambda each: each[0]["exact"])[1]
    if reach is None:
        reach = _RADII * radii["exact"] if math.isfinite(radii["exact"]) else length
    line = slice_loss(problem, unit, reach=reach, points=points, quadratic=False)
    (distance,) = line.axes
    linearised = np.zeros(points)
    with torch.no_grad():
        for batch, share, outputs, tangents in batches:
            for place, tau in enumerate(distance.tolist()):
                moved = problem.batch_loss(outputs + tau * tangents, batch)
                linearised[place] += share * moved.double().item()
    return Ray(
        distance=distance,
        loss=line.loss,
        linearised=linearised,
        coefficients=coefficients.numpy(),
        radii=radii,
        certified=certified,
        step=length if isinstance(direction, Optimizer) else None,
        direction=label,
        precision=line.precision,
        terms=line.terms,
        interrupted=line.interrupted,
    )


def _least_radii(logits: Tensor, slopes: Tensor) -> tuple[dict[str, float], bool]:
    """Least radius of each kind, and whether the exact one is certified."""
    exact = minimum_radius(logits, slopes)
    bounds = {kind: logit_radius(logits, slopes, kind).minimum for kind in ("spread", "majority")}
    return {**bounds, "exact": exact.radius}, exact.certified


def _expand(problem: Problem, batch: Batch, outputs: Tensor, tangents: Tensor, order: int) -> Tensor:
    """Taylor coefficients (order + 1,) of the loss of a batch along its linearised logits."""
    with torch.inference_mode(False), torch.enable_grad():
        moving = outputs.detach().requires_grad_()
        loss = problem.batch_loss(moving, batch)
        (gradient,) = torch.autograd.grad(loss, moving, create_graph=True)
        slope = (gradient * tangents).sum()
        (bent,) = torch.autograd.grad(slope, moving)
    targets = problem.batch_targets(batch)
    logits, slopes, bent = (rows_of(problem)(each, targets).double() for each in (outputs, tangents, bent))
    curvature = (bent * slopes).sum(1)  # w times the variance of the slopes
    terms = series(logits, slopes, max(order, 2)).coefficients[:, 2:]
    moves = terms[:, 0] > 0
    weights = torch.where(moves, curvature / torch.where(moves, 2 * terms[:, 0], 1.0), 0.0)
    higher = weights @ terms
    return torch.cat([torch.stack([loss.double(), slope.double()]).detach(), higher])[: order + 1].cpu()
