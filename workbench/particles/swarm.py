"""``Swarm``: runs of consensus-based optimisation, what they found, and how they got there."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from workbench.colors import BLUE, ORANGE, VERMILION
from workbench.particles.objectives import GRADIENT_COST
from workbench.result import Result, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True, repr=False)
class Swarm(Result):
    r"""Independent runs of a swarm, with records at some of their steps, in time order.

    Attributes
    ----------
    objective : str
        Name of what was minimised.
    runs : tuple of int
        Numbers of the runs; a run's noise depends on its number, the seed, and nothing else.
    steps : Tensor (records,)
        Steps done at each record; the first is the start, the last the end.
    consensus : Tensor (records, runs, dim)
        Consensus points, of the particles as they stand at the record.
    mean : Tensor (records, runs, dim)
        Mean of the particles.
    energy : Tensor (records, runs)
        The objective at the consensus.
    best_energy : Tensor (records, runs)
        The least energy that a particle has had so far.
    ess : Tensor (records, runs)
        Effective sample size of the consensus weights: near 1, one particle decides.
    variance : Tensor (records, runs)
        Mean square distance of the particles from the consensus.
    variance_theory : Tensor (records,)
        What the mean of the first record comes to under a consensus that does not move, step by step exactly:
        :math:`(1 - \lambda dt)^2 + c \sigma^2 dt` a step, c = dim (isotropic) or 1 (anisotropic); nan for
        laws that have no such line.
    cosine : Tensor (records, runs)
        Cosine of the step from mean to consensus with the direction against the gradient at the mean; nan if
        the objective has no gradient by autograd, or was not asked for one.
    cosine_proximal : Tensor (records, runs)
        Cosine of the same step with the proximal step from the mean, whose :math:`\tau = \alpha s^2` has the
        mean square deviation per dimension as :math:`s^2`; nan if it was not asked for.
    trajectory : Tensor (records, runs, particles, dim), optional
        All particles, if they were to be kept.
    best : Tensor (runs, dim)
        The best point that a particle has been at.
    reasons : tuple of str
        Why each run ended: "steps", "spread", "energy", "evaluations", "no finite energy" or "interrupted".
    stopped : Tensor (runs,)
        Steps that each run did; later records repeat its last state.
    evaluations : Tensor (runs,)
        Evaluations of the objective that moved the particles: one a particle at the start and at every step,
        and 3 more a particle and step for the gradient of a drift.
    checks : int
        Evaluations a run beside these, for the energies at the consensus.
    gradients : int
        Gradients a run: for the cosines (the most that a run took), and for a gradient drift.
    state : dict
        What a continued run starts from: positions, energies and, with memory, those of the best so far.
    settings : dict
        The arguments of the call.
    interrupted : bool
        Whether the computation was stopped before all steps were done.
    """

    objective: str
    runs: tuple[int, ...]
    steps: Tensor
    consensus: Tensor
    mean: Tensor
    energy: Tensor
    best_energy: Tensor
    ess: Tensor
    variance: Tensor
    variance_theory: Tensor
    cosine: Tensor
    cosine_proximal: Tensor
    trajectory: Tensor | None
    best: Tensor
    reasons: tuple[str, ...]
    stopped: Tensor
    evaluations: Tensor
    checks: int
    gradients: int
    state: dict[str, Any]
    settings: dict[str, Any]
    interrupted: bool = False

    @property
    def particles(self) -> Tensor:
        """Positions of all particles (runs, particles, dim) at the end."""
        return self.state["positions"]

    @property
    def spent(self) -> Tensor:
        """Evaluations (records,) of a run that has not ended, at each record, counted as ``evaluations``."""
        a_step = 1 + (GRADIENT_COST if self.settings["gradient"] else 0)
        return (1 + a_step * self.steps) * self.particles.shape[1]

    @property
    def dim(self) -> int:
        """Dimension of a point."""
        return self.consensus.shape[-1]

    def frame(self) -> pd.DataFrame:
        """One row per record and run; what counts the whole run stands in each of its rows."""
        records, runs = self.energy.shape
        columns = {
            "step": np.repeat(self.steps.numpy(), runs),
            "run": np.tile(np.array(self.runs), records),
            "energy": self.energy.flatten().numpy(),
            "best_energy": self.best_energy.flatten().numpy(),
            "ess": self.ess.flatten().numpy(),
            "variance": self.variance.flatten().numpy(),
            "variance_theory": np.repeat(self.variance_theory.numpy(), runs),
            "cosine": self.cosine.flatten().numpy(),
            "cosine_proximal": self.cosine_proximal.flatten().numpy(),
            "reason": np.tile(np.array(self.reasons), records),
        }
        if self.dim <= 3:
            for j in range(self.dim):
                columns[f"consensus_{j + 1}"] = self.consensus[..., j].flatten().numpy()
        return pd.DataFrame(columns)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Variance and effective sample size against the step: median and range of runs, with the theory."""
        ax = new_axes(ax)
        steps = self.steps.numpy()
        _band(ax, steps, self.variance.numpy(), BLUE, "mean square distance from the consensus")
        if not self.variance_theory.isnan().all():
            ax.plot(
                steps,
                self.variance_theory.numpy(),
                "--",
                color=VERMILION,
                label="if the consensus stood still",
            )
        ax.set_yscale("log")
        ax.set_xlabel("step")
        ax.set_ylabel("squared length")
        ax.set_title(self.summary().splitlines()[0], fontsize="small")
        side = ax.twinx()
        _band(side, steps, self.ess.numpy(), ORANGE, "effective sample size (right)")
        side.set_ylabel("particles")
        side.set_yscale("log")
        ax.legend(handles=[*ax.get_lines(), *side.get_lines()], fontsize="small")
        return ax

    def summary(self) -> str:
        """Energies at the end, what the consensus rests on, why the runs ended, and the cost."""
        last, low, high = (float(q) for q in self.energy[-1].double().nanquantile(_QUANTILES))
        best = float(self.best_energy[-1].double().median())
        count = self.particles.shape[1]
        ess = self.ess[-1].double()
        ends = {reason: self.reasons.count(reason) for reason in dict.fromkeys(self.reasons)}
        drift = f", {self.gradients} gradients" if self.gradients else ""
        size = f"{len(self.runs)} runs of {count} particles in {self.dim} dimensions"
        return (
            f"{self.objective}, {size}: energy at the consensus {last:.4g} "
            f"({low:.4g} to {high:.4g} in four of five runs), best seen {best:.4g}\n"
            f"effective sample size at the end {ess.median():.3g} of {count} (least {ess.min():.3g})\n"
            f"{int(self.stopped.max())} steps, ended by: "
            f"{', '.join(f'{number} × {reason}' for reason, number in ends.items())}\n"
            f"{int(self.evaluations.max())} evaluations a run, {self.checks} more at the consensus{drift}"
        )


_QUANTILES = torch.tensor([0.5, 0.1, 0.9], dtype=torch.float64)


def _band(ax: "Axes", steps: np.ndarray, values: np.ndarray, color: str, label: str) -> None:
    """Median over the runs, and a band from the first to the last tenth of them."""
    low, middle, high = np.quantile(values, [0.1, 0.5, 0.9], axis=1)
    ax.plot(steps, middle, color=color, label=label)
    ax.fill_between(steps, low, high, color=color, alpha=0.2, linewidth=0)
