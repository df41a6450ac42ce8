"""``variance_decay``: how fast a swarm contracts, beside the rate for a consensus that stands still."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from workbench.choices import check_count
from workbench.colors import BLUE, VERMILION
from workbench.particles.landscapes import sphere
from workbench.particles.optimization import consensus
from workbench.particles.swarm import Swarm
from workbench.progress import progress
from workbench.result import Result, new_axes, standard_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KINDS = ("anisotropic", "isotropic")


@dataclasses.dataclass(frozen=True, repr=False)
class VarianceDecay(Result):
    r"""Swarms on the sum of squares.

    Attributes
    ----------
    kinds : tuple of str
    dims : tuple of int
    particles : int
    times : ndarray (records,)
    variance : ndarray (kinds, dims, records, runs)
        Mean square distance from the consensus; nan where an interrupt came first, also in the theory.
    theory : ndarray (kinds, dims, records)
        The mean of the first record times :math:`(1 - \lambda dt)^2 + c \sigma^2 dt` a step, c = dim
        (isotropic) or 1 (anisotropic).
    interrupted : bool
        Whether swarms are missing.
    """

    kinds: tuple[str, ...]
    dims: tuple[int, ...]
    particles: int
    times: np.ndarray
    variance: np.ndarray
    theory: np.ndarray
    interrupted: bool = False

    @property
    def rates(self) -> np.ndarray:
        """Rate of decay of each run (kinds, dims, runs), from the first record to the last."""
        return np.log(self.variance[:, :, 0] / self.variance[:, :, -1]) / (self.times[-1] - self.times[0])

    @property
    def rates_theory(self) -> np.ndarray:
        """The same of the theory (kinds, dims)."""
        return np.log(self.theory[:, :, 0] / self.theory[:, :, -1]) / (self.times[-1] - self.times[0])

    def frame(self) -> pd.DataFrame:
        """One row per kind and dimension: rate, its standard error over the runs, theory, and their ratio.

        Those that an interrupt came before are left out.
        """
        rates, theory = self.rates, self.rates_theory
        return pd.DataFrame(
            {
                "kind": np.repeat(np.array(self.kinds), len(self.dims)),
                "dim": np.tile(np.array(self.dims), len(self.kinds)),
                "rate": rates.mean(-1).ravel(),
                "rate_stderr": standard_error(np.moveaxis(rates, -1, 0)).ravel(),
                "theory": theory.ravel(),
                "ratio": (rates.mean(-1) / theory).ravel(),
            }
        ).dropna(subset="theory", ignore_index=True)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Rate over that of the theory against the dimension, with two standard errors."""
        ax = new_axes(ax)
        table = self.frame()
        for kind, color, marker in zip(self.kinds, (BLUE, VERMILION), "os", strict=False):
            part = table[table["kind"] == kind]
            sides = 2 * part["rate_stderr"] / part["theory"]
            ax.errorbar(part["dim"], part["ratio"], sides, color=color, marker=marker, label=kind)
        ax.axhline(1, color="0.4", linestyle="--", label="a consensus that stands still")
        ax.set_xscale("log", base=2)
        ax.set_xticks(self.dims, [str(dim) for dim in self.dims])
        ax.set_xlabel("dimension")
        ax.set_ylabel("rate of decay / theory")
        ax.set_title(f"{self.particles} particles on the sum of squares", fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """Rates beside the theory."""
        runs = self.variance.shape[-1]
        lines = [
            f"{row.kind}, {row.dim} dimensions: rate {row.rate:.3f} ± {row.rate_stderr:.1g}, "
            f"theory {row.theory:.3f}"
            for row in self.frame().itertuples()
        ]
        head = f"{self.particles} particles, {runs} runs; {self.times[-1]:g} units of time"
        head += ", INTERRUPTED" if self.interrupted else ""
        return "\n".join([head, *lines])


def variance_decay(
    dims: Sequence[int] = (1, 4, 16),
    *,
    particles: int = 10_000,
    runs: int = 5,
    steps: int = 200,
    alpha: float = 1e5,
    sigma: float = 0.32,
    seed: int = 0,
) -> VarianceDecay:
    r"""Follow swarms on the sum of squares, isotropic and anisotropic, for several dimensions.

    Steps are of 0.01 units of time, the pull :math:`\lambda` is 1, and particles start normal about the
    minimiser.

    Parameters
    ----------
    dims : sequence of int
    particles, runs, steps : int
        Of each swarm.
    alpha, sigma : float
        Steepness and noise.
    seed : int

    Raises
    ------
    ValueError
        If a number is out of range.

    Notes
    -----
    Cost: ``2 * len(dims) * runs * particles * (steps + 1)`` evaluations. After Ctrl-C the swarms that are
    done come back, with ``interrupted`` set.
    """
    for dim in dims:
        check_count("dims", dim)
    if len(dims) == 0:
        raise ValueError("dims is empty: give at least one")
    swarms: list[Swarm] = []
    interrupted = False
    try:
        with progress("decay of the variance", len(KINDS) * len(dims)) as advance:
            for kind in KINDS:
                for dim in dims:
                    swarm = consensus(
                        sphere(), particles, dim, runs, steps, kind=kind, alpha=alpha, sigma=sigma,
                        start=0.0, seed=seed, cosine=False,
                    )  # fmt: skip
                    if swarm.interrupted:
                        raise KeyboardInterrupt
                    swarms.append(swarm)
                    advance(1)
    except KeyboardInterrupt:
        if not swarms:
            raise
        interrupted = True
    shape, done = (len(KINDS), len(dims)), len(swarms)
    variance = np.full((len(KINDS) * len(dims), *swarms[0].variance.shape), np.nan)
    variance[:done] = [swarm.variance.numpy() for swarm in swarms]
    theory = np.full(variance.shape[:2], np.nan)
    theory[:done] = [swarm.variance_theory.numpy() for swarm in swarms]
    return VarianceDecay(
        kinds=KINDS,
        dims=tuple(int(dim) for dim in dims),
        particles=particles,
        times=0.01 * swarms[0].steps.numpy(),
        variance=variance.reshape(*shape, *variance.shape[1:]),
        theory=theory.reshape(*shape, -1),
        interrupted=interrupted,
    )
