r"""``step_comparison``: a step of consensus hopping beside the gradient and the proximal step.

With particles :math:`x + s z` the weights tilt the normal law: :math:`e^{-\alpha f(y)} e^{-|y-x|^2/2s^2}` is
:math:`e^{-\alpha [f(y) + |y-x|^2 / 2\tau]}` with :math:`\tau = \alpha s^2`. So with many particles and large
:math:`\alpha` at fixed :math:`\tau` the consensus is the proximal point, and with :math:`\tau \to 0` the
proximal step is :math:`-\tau\nabla f(x)` (derived here; the paper states the limit). At fixed width s the
cosine with the gradient *falls* with :math:`\alpha`: the proximal step turns away from the gradient, and the
effective sample size collapses, by about :math:`e^{-\alpha^2 s^2 |\nabla f|^2}` where f is nearly linear.

Source: "Gradient is All You Need?", arXiv:2306.09778.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from workbench.choices import check_count
from workbench.colors import BLUE, ORANGE, VERMILION
from workbench.particles.consensus_point import consensus_point
from workbench.particles.noise import FIRST_STEP, normals
from workbench.particles.objectives import Objective, gradients, read_objective
from workbench.particles.proximal import proximal_point
from workbench.progress import progress
from workbench.result import Result, new_axes, standard_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True, repr=False)
class StepComparison(Result):
    r"""Steps of consensus hopping from one point, for several :math:`\alpha`, each repeated.

    Attributes
    ----------
    objective : str
    point : Tensor (dim,)
        Where the steps start.
    gradient : Tensor (dim,)
        Of the objective there.
    alphas, widths, taus : Tensor (a,)
        Steepness, width of the cloud, and :math:`\tau = \alpha s^2`.
    particles : int
        Of each step.
    steps : Tensor (a, repeats, dim)
        From the point to the consensus.
    ess : Tensor (a, repeats)
        Effective sample sizes of the steps.
    proximal : Tensor (a, dim)
        Proximal steps.
    residual : Tensor (a,)
        How far these are from solved, relative to their first slope.
    interrupted : bool
        Whether fewer alphas were done than asked for.
    """

    objective: str
    point: Tensor
    gradient: Tensor
    alphas: Tensor
    widths: Tensor
    taus: Tensor
    particles: int
    steps: Tensor
    ess: Tensor
    proximal: Tensor
    residual: Tensor
    interrupted: bool = False

    @property
    def cosine_gradient(self) -> Tensor:
        """Cosine of each step with the direction against the gradient (a, repeats)."""
        return cosine_similarity(self.steps, -self.gradient, dim=-1)

    @property
    def cosine_proximal(self) -> Tensor:
        """Cosine of each step with the proximal step (a, repeats)."""
        return cosine_similarity(self.steps, self.proximal[:, None], dim=-1)

    @property
    def proximal_cosine_gradient(self) -> Tensor:
        """Cosine of the proximal step itself with the direction against the gradient (a,)."""
        return cosine_similarity(self.proximal, -self.gradient, dim=-1)

    @property
    def error(self) -> Tensor:
        """Distance of each step from the proximal step, over the length of that (a, repeats)."""
        return (self.steps - self.proximal[:, None]).norm(dim=-1) / self.proximal.norm(dim=-1)[:, None]

    @property
    def predicted_ess(self) -> Tensor:
        """What the effective sample size would be if the objective were linear over the cloud (a,)."""
        rate = self.alphas.square() * self.widths.square() * self.gradient.square().sum()
        return self.particles * torch.exp(-rate)

    def frame(self) -> pd.DataFrame:
        """One row per alpha: means over the repeats and their standard errors."""
        columns: dict[str, Any] = {
            "alpha": self.alphas.numpy(),
            "width": self.widths.numpy(),
            "tau": self.taus.numpy(),
            "predicted_ess": self.predicted_ess.numpy(),
            "proximal_cosine_gradient": self.proximal_cosine_gradient.numpy(),
        }
        for name in ("ess", "cosine_gradient", "cosine_proximal", "error"):
            values = getattr(self, name).numpy().T
            columns[name] = values.mean(0)
            columns[f"{name}_stderr"] = standard_error(values)
        return pd.DataFrame(columns)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Cosines against alpha with their standard errors, and the effective share of the particles."""
        ax = new_axes(ax)
        table = self.frame()
        for name, color, label in (
            ("cosine_gradient", BLUE, "consensus step with −gradient"),
            ("cosine_proximal", VERMILION, "consensus step with proximal step"),
        ):
            ax.errorbar(table["alpha"], table[name], 2 * table[f"{name}_stderr"], color=color, label=label)
        ax.plot(
            table["alpha"], table["proximal_cosine_gradient"], "--", color="0.4",
            label="proximal step with −gradient",
        )  # fmt: skip
        ax.plot(
            table["alpha"], table["ess"] / self.particles, color=ORANGE,
            label=f"effective share of the {self.particles} particles",
        )  # fmt: skip
        ax.set_xscale("log")
        ax.set_xlabel("α")
        ax.set_ylabel("cosine, share")
        ax.set_title(self.summary().splitlines()[0], fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """Cosines, error and sample size at the last alpha, and the cost."""
        last = self.frame().iloc[-1]
        count = self.steps.shape[0] * self.steps.shape[1]
        return (
            f"{self.objective}, α = {last['alpha']:.4g}, s = {last['width']:.3g}, τ = {last['tau']:.3g}: "
            f"cosine with −gradient {last['cosine_gradient']:.4f} ± {last['cosine_gradient_stderr']:.1g}, "
            f"with the proximal step {last['cosine_proximal']:.4f} ± {last['cosine_proximal_stderr']:.1g}\n"
            f"effective sample size {last['ess']:.4g} ± {last['ess_stderr']:.1g} of {self.particles} "
            f"({last['predicted_ess']:.3g} if the objective were linear), "
            f"relative error {last['error']:.3g} ± {last['error_stderr']:.1g}\n"
            f"{count * self.particles} evaluations; proximal steps solved to {self.residual.max():.1g}"
            + (", interrupted" if self.interrupted else "")
        )


def step_comparison(
    objective: Objective,
    point: Any,
    alphas: Sequence[float],
    *,
    tau: float | None = None,
    width: float | None = None,
    particles: int = 10_000,
    repeats: int = 20,
    seed: int = 0,
) -> StepComparison:
    r"""Compare steps of consensus hopping with the gradient and with the proximal step, in float64.

    Parameters
    ----------
    objective : Landscape or callable
        Differentiable by autograd.
    point : Tensor (dim,) or sequence of float
        Where the steps start.
    alphas : sequence of float
        Positive.
    tau : float, optional
        Hold :math:`\tau` fixed: the width is :math:`\sqrt{\tau / \alpha}`.
    width : float, optional
        Hold the width fixed: :math:`\tau = \alpha s^2`. One of the two has to be given.
    particles, repeats : int
        Of each step, and steps for each alpha.
    seed : int
        Of the noise; all alphas have the same.

    Raises
    ------
    ValueError
        If not exactly one of ``tau`` and ``width`` is given, one is not positive, or there is no gradient.

    Notes
    -----
    Cost: ``particles * repeats`` evaluations for each alpha, and some tens of gradients for its proximal
    step.
    """
    check_count("particles", particles, low=2)
    check_count("repeats", repeats)
    if (tau is None) == (width is None):
        raise ValueError(f"tau={tau} and width={width}: give one of the two")
    for name, value in [*(("alphas", alpha) for alpha in alphas), ("tau", tau), ("width", width)]:
        if value is not None and not 0 < value < math.inf:
            raise ValueError(f"{name}: {value} is out of range: it must be positive and finite")
    if len(alphas) == 0:
        raise ValueError("alphas is empty: give at least one")
    x = torch.as_tensor(point, dtype=torch.float64).detach()
    if x.ndim != 1:
        raise ValueError(f"point has shape {tuple(x.shape)}: it must be (dim,)")
    read = read_objective(objective, x, particles * repeats * len(alphas))
    if not read.differentiable:
        raise ValueError(f"{read.name} has no gradient by autograd to compare with")
    steps, sizes, proximal, residual = [], [], [], []
    interrupted = False
    try:
        with progress("consensus steps", len(alphas)) as advance:
            for alpha in alphas:
                s = _width(alpha, tau, width)
                z = normals(seed, range(repeats), FIRST_STEP, particles, len(x), torch.float64)
                with torch.no_grad():
                    found = consensus_point(x + s * z, read.function(x + s * z), alpha)
                near = proximal_point(read.function, x, alpha * s * s)
                steps.append(found.point - x)
                sizes.append(found.ess)
                proximal.append(near.point - x)
                residual.append(near.residual)
                advance(1)
    except KeyboardInterrupt:
        if not residual:
            raise
        interrupted = True
    done = torch.tensor(list(alphas)[: len(residual)], dtype=torch.float64)
    widths = torch.tensor([_width(float(alpha), tau, width) for alpha in done], dtype=torch.float64)
    return StepComparison(
        objective=read.name,
        point=x,
        gradient=gradients(read.function, x),
        alphas=done,
        widths=widths,
        taus=done * widths.square(),
        particles=particles,
        steps=torch.stack(steps[: len(done)]),
        ess=torch.stack(sizes[: len(done)]),
        proximal=torch.stack(proximal[: len(done)]),
        residual=torch.stack(residual),
        interrupted=interrupted,
    )


def _width(alpha: float, tau: float | None, width: float | None) -> float:
    """The width that is given, or that gives this tau."""
    if width is not None:
        return width
    assert tau is not None  # one of the two is
    return math.sqrt(tau / alpha)
