"""``transfer_bound``: how much more a classifier's loss can rise in a target domain than in its source."""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from workbench.choices import check_count, check_number
from workbench.colors import BLUE, GREEN, VERMILION
from workbench.domains.heads import head_gradient, head_hessian
from workbench.domains.trained_networks import train_and_test_heads, trained_networks
from workbench.progress import progress
from workbench.random_vectors import generator
from workbench.result import Result, new_axes, student_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RADII = tuple(float(radius) for radius in np.geomspace(0.03, 3, 7))
# Third central moment of what spans 1 is at most 1/(6 √3); the entries of Vz span at most √2 ‖V‖ ‖z‖.
_THIRD = 2 * math.sqrt(2) / (6 * math.sqrt(3))
_STEPS = 25  # of each search for the largest rise
_RANDOM = 2  # starts of it beside eigenvectors and the gradient


@dataclasses.dataclass(frozen=True)
class Domain:
    """Features with a column of ones (n, width) in float64, and labels (n,), of one domain."""

    features: Tensor
    targets: Tensor

    def loss_and_gradient(self, heads: Tensor) -> tuple[Tensor, Tensor]:
        """Mean cross entropy (...) of heads (..., classes, width), and its gradient, of their shape."""
        logits = self.features @ heads.mT
        targets = self.targets.expand(logits.shape[:-1])
        loss = torch.logsumexp(logits, -1) - logits.gather(-1, targets[..., None]).squeeze(-1)
        return loss.mean(-1), head_gradient(self.features, logits, targets)

    def hessian(self, head: Tensor) -> Tensor:
        """Its Hessian (classes * width, classes * width) at one head."""
        return head_hessian(self.features, self.features @ head.mT)

    @property
    def third(self) -> float:
        """Bound of the third derivative along any direction of norm 1, at any head: 0.272 mean ‖z‖³."""
        return _THIRD * float(self.features.norm(dim=-1).pow(3).mean())


@dataclasses.dataclass(frozen=True, repr=False)
class TransferBound(Result):
    """Largest rise of the target's loss beyond the source's within a ball, and its bound.

    Attributes
    ----------
    radii : ndarray (n,)
        Distance from the source's optimal head.
    attained : ndarray (n, seeds)
        Largest rise that a search found: what is true is at least this.
    gradients, hessians, thirds : ndarray (seeds,)
        Distance of the gradients; of the Hessians, in the spectral norm; and the sum of the bounds of the
        third derivatives, all at the source's optimum.
    curvature : float
        That the regulariser gives the source's loss in all directions.
    excess : ndarray (seeds,)
        Loss of the source's optimal head in the target, less the least possible there,
        both with the regulariser.
    shift, method : str
    weight : float
        Of the method's penalty.
    steps, width : int
    interrupted : bool
        Whether there are fewer seeds than were asked for.
    """

    radii: np.ndarray
    attained: np.ndarray
    gradients: np.ndarray
    hessians: np.ndarray
    thirds: np.ndarray
    curvature: float
    excess: np.ndarray
    shift: str
    method: str
    weight: float
    steps: int
    width: int
    interrupted: bool = False

    @property
    def bound(self) -> np.ndarray:
        """What no rise exceeds (n, seeds): ‖g‖ r + ½ ‖H_S - H_T‖ r² + (M_S + M_T) r³ / 6."""
        return self.second_order + self.thirds * self.radii[:, None] ** 3 / 6

    @property
    def second_order(self) -> np.ndarray:
        """The same without the third derivatives (n, seeds), which is no bound."""
        radii = self.radii[:, None]
        return self.gradients * radii + self.hessians * radii**2 / 2

    @property
    def excess_loss(self) -> np.ndarray:
        """δ (n,): heads whose loss in the source exceeds the optimum by no more are in the ball."""
        return self.curvature * self.radii**2 / 2

    def frame(self) -> pd.DataFrame:
        """One row per radius: means over the seeds with half the widths of their 95 % intervals."""
        columns: dict[str, object] = {"radius": self.radii, "excess_loss": self.excess_loss}
        for name in ("attained", "second_order", "bound"):
            found = [student_interval(row) for row in getattr(self, name)]
            columns[name], columns[f"{name}_ci"] = zip(*found, strict=True)
        return pd.DataFrame(columns)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Rise, second order and bound against the radius, means over the seeds with 95 % intervals."""
        ax = new_axes(ax)
        frame = self.frame()
        for name, color, label in (
            ("bound", VERMILION, "bound"),
            ("second_order", GREEN, "its part of first and second order"),
            ("attained", BLUE, "largest rise found"),
        ):
            mean, half = frame[name].to_numpy(), frame[f"{name}_ci"].to_numpy()
            ax.errorbar(self.radii, mean, half, fmt="o-", markersize=4, color=color, capsize=3, label=label)
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xlabel("distance from the source's optimal head")
        ax.set_ylabel("rise of the target's loss beyond the source's")
        ax.set_title(f"{self.shift} shift, features of {self.method}", fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """Distances at the optimum, and rise beside bound at the smallest and the largest radius."""
        words = []
        for name, values in (
            ("gradients", self.gradients),
            ("Hessians", self.hessians),
            ("optimum in the target: excess", self.excess),
        ):
            mean, half = student_interval(values)
            words.append(f"{name} {mean:.4g} ± {half:.2g}")
        lines = [f"source and target apart by: {', '.join(words)}"]
        for place in sorted({0, len(self.radii) - 1}):
            rise, half = student_interval(self.attained[place])
            most = student_interval(self.bound[place])
            lines.append(
                f"radius {self.radii[place]:.2g}: rise {rise:.3g} ± {half:.2g}, bound {most[0]:.3g} ± "
                f"{most[1]:.2g}"
            )
        note = ", INTERRUPTED before the other seeds" if self.interrupted else ""
        lines.append(
            f"{self.shift} shift, features of {self.method} at weight {self.weight:g}, {self.steps} steps, "
            f"width {self.width}, {self.attained.shape[1]} seeds, 95 % intervals{note}"
        )
        return "\n".join(lines)


def transfer_bound(
    shift: str = "correlation",
    method: str = "hessian",
    radii: Sequence[float] = RADII,
    *,
    weight: float = 1000.0,
    curvature: float = 1e-2,
    width: int = 32,
    steps: int = 200,
    seeds: int = 5,
) -> TransferBound:
    r"""Bound the transfer of heads on fixed features by the distance of Hessians, and look for the worst.

    Source are the training environments together, target is the test. Take the head θ that minimises the
    source's loss plus ``curvature / 2`` times its squared norm, and let D be the target's loss less the
    source's, and g its gradient there. Then for all :math:`\|\Delta\| \le r`

    .. math::
        D(\theta + \Delta) - D(\theta)
            \le \|g\| r + \tfrac12 \|H_T - H_S\|_2 r^2 + \tfrac16 (M_S + M_T) r^3

    (derived here, by Taylor's theorem): a third derivative of the loss is the mean third central moment of Vz
    under the softmax, at most :math:`\|V\|^3 M` with :math:`M = \sqrt{8} / (6 \sqrt 3)\, \overline{\|z\|^3}`.
    Heads whose loss in the source, with regulariser, is within δ of the optimum lie in the ball of
    :math:`r = \sqrt{2 \delta / \mu}`, μ = ``curvature``. If one head is optimal in both domains, g is zero,
    and what is left is :math:`(\delta / \mu) \|H_T - H_S\|_2` and a term in :math:`\delta^{3/2}`. The
    abstract of arXiv 2308.11778 says that this norm bounds its transfer measure; here is a proof of our own,
    with a term for heads that are not optimal in the target.

    Parameters
    ----------
    shift, method, width, steps, seeds
        As for :func:`~workbench.domains.domain_contests.compare_domains`.
    radii : sequence of float
        Positive.
    weight : float
        Of the method's penalty, positive; ERM has none.
    curvature : float
        μ, positive.

    Returns
    -------
    TransferBound
        An interrupt (Ctrl-C) returns the seeds that were done.

    Raises
    ------
    TypeError, ValueError
        If a name is unknown, there is no radius, or a number is out of range.

    Notes
    -----
    Cost: the training, a Newton iteration on all features, and for each radius and seed 25 gradients at
    seven heads.
    """
    if not len(radii):
        raise ValueError("radii is empty: pass at least one")
    for radius in radii:
        check_number("radii", radius, above=0, below=math.inf)
    check_number("curvature", curvature, above=0, below=math.inf)
    check_count("seeds", seeds)
    drawn, networks = trained_networks(
        shift, method, weight=weight, width=width, steps=steps, seeds=list(range(seeds))
    )
    found: list[tuple[list[float], tuple[float, ...]]] = []
    interrupted = False
    try:
        with progress("transfer", seeds * len(radii)) as advance:
            for run in range(seeds):
                source, target = (
                    Domain(state.features.flatten(0, 1), state.targets.flatten())
                    for state in train_and_test_heads(drawn, networks, run)
                )
                head = optimal_head(source, drawn[run].classes, curvature)
                best = optimal_head(target, drawn[run].classes, curvature)
                rises, starts = [], search_starts(source, target, head, run)
                for radius in radii:
                    rises.append(largest_rise(source, target, head, radius, starts))
                    advance(1)
                found.append((rises, _distances(source, target, head, best, curvature)))
    except KeyboardInterrupt:
        if not found:
            raise
        interrupted = True
    gradients, hessians, thirds, excess = np.array([each for _, each in found]).T
    return TransferBound(
        radii=np.array(radii, dtype=float),
        attained=np.array([rises for rises, _ in found]).T,
        gradients=gradients,
        hessians=hessians,
        thirds=thirds,
        curvature=float(curvature),
        excess=excess,
        shift=shift,
        method=method,
        weight=float(weight),
        steps=steps,
        width=width,
        interrupted=interrupted,
    )


def optimal_head(domain: Domain, classes: int, curvature: float) -> Tensor:
    """Head (classes, width) of the least loss plus ``curvature / 2`` times its squared norm.

    By Newton's method; steps are halved until the loss falls. It ends at a gradient of 1e-10, or where no
    step lowers the loss beyond rounding.
    """
    head = torch.zeros(classes, domain.features.shape[1], dtype=torch.float64)
    loss, gradient = _regularised(domain, head, curvature)
    while gradient.norm() > 1e-10:
        hessian = domain.hessian(head)
        hessian.diagonal().add_(curvature)
        step = torch.linalg.solve(hessian, gradient.flatten()).view_as(head)
        lower, gradient = _regularised(domain, head - step, curvature)
        while lower > loss and step.norm() > 1e-12:
            step = step / 2
            lower, gradient = _regularised(domain, head - step, curvature)
        if lower >= loss:
            break
        head, loss = head - step, lower
    return head


def search_starts(source: Domain, target: Domain, head: Tensor, seed: int) -> Tensor:
    """Directions (m, classes, width) of norm 1 in which the target's loss may rise beyond the source's.

    Both ends of the Hessians' difference with either sign, the gradients' difference, and random ones.
    """
    vectors = torch.linalg.eigh(target.hessian(head) - source.hessian(head)).eigenvectors
    difference = (target.loss_and_gradient(head)[1] - source.loss_and_gradient(head)[1]).flatten()
    random = torch.randn(_RANDOM, head.numel(), generator=generator(seed), dtype=head.dtype)
    ends = torch.stack([vectors[:, 0], vectors[:, -1]])
    starts = torch.cat([ends, -ends, difference[None], random])
    return F.normalize(starts, dim=1).view(-1, *head.shape)


def largest_rise(source: Domain, target: Domain, head: Tensor, radius: float, starts: Tensor) -> float:
    """Largest rise of the target's loss less the source's that gradient ascent finds within a ball.

    All points of the ascents count, and the centre, so that it is not negative.
    """
    before = target.loss_and_gradient(head)[0] - source.loss_and_gradient(head)[0]
    points, best = radius * starts, 0.0
    for step in range(_STEPS):
        of_target, of_source = (
            target.loss_and_gradient(head + points),
            source.loss_and_gradient(head + points),
        )
        best = max(best, float((of_target[0] - of_source[0] - before).max()))
        slopes = F.normalize((of_target[1] - of_source[1]).flatten(1), dim=1).view_as(points)
        points = points + 0.5 * radius * (1 - step / _STEPS) * slopes
        norms = points.flatten(1).norm(dim=1)[:, None, None]
        points = points * (radius / norms).clamp(max=1)
    return best


def _regularised(domain: Domain, head: Tensor, curvature: float) -> tuple[Tensor, Tensor]:
    """Loss and gradient at one head, with the regulariser."""
    loss, gradient = domain.loss_and_gradient(head)
    return loss + curvature / 2 * head.square().sum(), gradient + curvature * head


def _distances(
    source: Domain, target: Domain, head: Tensor, best: Tensor, curvature: float
) -> tuple[float, float, float, float]:
    """Of gradients and Hessians, the third derivatives' bound, and the excess of the source's optimum."""
    gradients = float((target.loss_and_gradient(head)[1] - source.loss_and_gradient(head)[1]).norm())
    hessians = float(torch.linalg.eigvalsh(target.hessian(head) - source.hessian(head)).abs().max())
    excess = _regularised(target, head, curvature)[0] - _regularised(target, best, curvature)[0]
    return gradients, hessians, source.third + target.third, float(excess)
