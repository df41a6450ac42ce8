"""``exact_laws``: chains beside laws that are known in closed form, as a reader can check them."""

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from workbench.choices import check_count
from workbench.colors import BLUE, ORANGE
from workbench.particles.planted.chain_run import ChainRun
from workbench.particles.planted.chains import langevin
from workbench.particles.planted.sphere import average_square, step_correlation, von_mises_fisher_mean
from workbench.particles.planted.tensors import tensor_pca
from workbench.result import Result, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STEPS = 256
_KAPPAS = (0.2, 0.5, 1.0)  # beta, over the square root of d, of the linear energies


@dataclasses.dataclass(frozen=True, repr=False)
class ExactLaws(Result):
    """Means over chains beside what they are by theory.

    Attributes
    ----------
    laws : tuple of str
    exact, measured, error : ndarray (laws,)
        By theory, the mean over chains, and its standard error.
    dim, runs, steps : int
        Dimension, number of chains and length of each.
    step : float
        Size of a step.
    interrupted : bool
        Whether laws are missing.
    """

    laws: tuple[str, ...]
    exact: np.ndarray
    measured: np.ndarray
    error: np.ndarray
    dim: int
    runs: int
    steps: int
    step: float
    interrupted: bool = False

    @property
    def deviation(self) -> np.ndarray:
        """In standard errors (laws,)."""
        return (self.measured - self.exact) / self.error

    def frame(self) -> pd.DataFrame:
        """One row per law."""
        return pd.DataFrame(
            {
                "law": self.laws,
                "exact": self.exact,
                "measured": self.measured,
                "error": self.error,
                "deviation": self.deviation,
            }
        )

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Measured over exact, with two standard errors."""
        ax = new_axes(ax)
        places = np.arange(len(self.laws))[::-1]
        scale = self.measured / self.exact
        ax.errorbar(scale, places, xerr=2 * self.error / self.exact, fmt="o", color=BLUE, capsize=3)
        ax.axvline(1, color=ORANGE, linewidth=1)
        ax.set_yticks(places, self.laws)
        ax.set_xlabel("measured over exact, ± two standard errors")
        ax.set_title(self.summary().splitlines()[0], fontsize="small")
        return ax

    def summary(self) -> str:
        """The largest deviation, and the cost."""
        worst = int(np.abs(self.deviation).argmax())
        return (
            f"d = {self.dim}: largest deviation {self.deviation[worst]:.1f} standard errors, "
            f"{self.laws[worst]}\n{self.runs} chains of {self.steps} steps of size {self.step:g} each"
            + (", INTERRUPTED" if self.interrupted else "")
        )


def exact_laws(dim: int = 10, *, runs: int = 400, step: float = 0.1, seed: int = 0) -> ExactLaws:
    r"""Run chains without energy, whose law is uniform, and with a linear one, whose law is von Mises-Fisher.

    Without energy the laws are those of the steps themselves, whatever their size. The means under a linear
    energy are those of small steps: what halving the step changes is taken off once more.

    Parameters
    ----------
    dim : int
    runs : int
        Chains for each law, at least 2.
    step : float
        :math:`\delta` of the chains.
    seed : int

    Raises
    ------
    TypeError, ValueError
        If a number is out of range.

    Notes
    -----
    After Ctrl-C the laws that are done come back, with ``interrupted`` set.
    """
    check_count("runs", runs, low=2)
    free = _whole(
        langevin(
            tensor_pca(dim, [1], 1, runs=runs, seed=seed),
            beta=0, step=step, steps=_STEPS, burn_in=0, seed=seed,
        )
    )  # fmt: skip
    rows = [
        ("E θ₁², uniform", 1 / dim, free.points[:, 0, 0].double().square().numpy()),
        (
            f"E |average of {_STEPS}|²",
            average_square(step_correlation(step, dim), _STEPS),
            free.mean_length[:, 0].square().numpy(),
        ),
    ]
    interrupted = False
    try:
        for beta in _KAPPAS:
            rows.append(_linear_law(dim, beta, runs, step, seed))
    except KeyboardInterrupt:
        interrupted = True
    return ExactLaws(
        laws=tuple(law for law, _, _ in rows),
        exact=np.array([exact for _, exact, _ in rows]),
        measured=np.array([values.mean() for _, _, values in rows]),
        error=np.array([values.std(ddof=1) / math.sqrt(runs) for _, _, values in rows]),
        dim=dim,
        runs=runs,
        steps=_STEPS,
        step=step,
        interrupted=interrupted,
    )


def _linear_law(dim: int, beta: float, runs: int, step: float, seed: int) -> tuple[str, float, np.ndarray]:
    """The mean cosine with the slope of a linear energy: its name, its mean by theory, each chain's."""
    pull = tensor_pca(dim, [1] * len(_KAPPAS), 1, runs=runs, seed=seed)
    slopes = pull.force(torch.zeros(runs, len(_KAPPAS), dim))[:, 0].double()  # the same at all points
    cosines = []
    for size in (step, step / 2):
        found = _whole(langevin(pull, beta=beta, step=size, steps=_STEPS, seed=seed))
        means = found.estimates.double() * found.mean_length[..., None]
        cosines.append((means * slopes[:, None]).sum(-1).mean(1) / slopes.norm(dim=-1))
    kappas = beta * math.sqrt(dim) * slopes.norm(dim=-1)
    exact = np.array([von_mises_fisher_mean(float(kappa), dim) for kappa in kappas])
    difference = (2 * cosines[1] - cosines[0]).numpy() - exact
    return f"E cos, von Mises–Fisher, β = {beta:g} √d", exact.mean(), exact.mean() + difference


def _whole(chains: ChainRun) -> ChainRun:
    """The chains; those that were cut short have another law."""
    if chains.interrupted:
        raise KeyboardInterrupt
    return chains
