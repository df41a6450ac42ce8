"""``cross``: swarms and stochastic gradient descent from the same corner of a landscape in the plane.

Source: figures 1(b) and 2(a) of "Gradient is All You Need?", arXiv:2306.09778, whose sizes are the
defaults on the canyon, but for the descent's: there 10,000 steps of 0.001, here 2000 of 0.005.
"""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from workbench.colors import BLUE, ORANGE, VERMILION
from workbench.particles.comparisons import Paths, gradient_descent
from workbench.particles.landscapes import Landscape
from workbench.particles.objectives import GRADIENT_COST
from workbench.particles.optimization import consensus
from workbench.particles.success import distance_to
from workbench.particles.swarm import Swarm
from workbench.result import Result, clopper_pearson, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_GRID = 101  # points of the picture of the landscape, in each direction
_CORNER, _SPREAD = 0.8, 0.05  # of the box: where all start, and how far apart


@dataclasses.dataclass(frozen=True, repr=False)
class Crossing(Result):
    """Runs of a swarm, and paths of gradient descent that start where one particle of each does.

    Attributes
    ----------
    swarm : Swarm
        All runs.
    particles : Tensor (records, particles, 2)
        Of the first run, at each record.
    descent : Paths
        One path for each run.
    axes : tuple of two ndarray (g,)
        Coordinates of the picture of the landscape.
    landscape : ndarray (g, g)
        Energies there; the first index is of the first coordinate.
    minimisers : ndarray (m, 2)
    radius : float
        Largest distance from a minimiser, in every coordinate, that counts as found.
    interrupted : bool
        Whether a part was stopped before its end.
    """

    swarm: Swarm
    particles: Tensor
    descent: Paths
    axes: tuple[np.ndarray, np.ndarray]
    landscape: np.ndarray
    minimisers: np.ndarray
    radius: float
    interrupted: bool = False

    @property
    def hits(self) -> tuple[int, int]:
        """Runs that ended at a minimiser: of the swarm, and of the descent."""
        ends = self.swarm.consensus[-1], self.descent.points[-1]
        swarm, descent = (int((distance_to(self.minimisers, each) < self.radius).sum()) for each in ends)
        return swarm, descent

    def frame(self) -> pd.DataFrame:
        """One row per method: evaluations, energy at the end, and successes with their 95 % interval."""
        runs = len(self.swarm.runs)
        ends = self.swarm.energy[-1], self.descent.energy[-1]
        spent = self.swarm.evaluations.max(), self.descent.evaluations.max()
        rows = []
        for method, energy, cost, hits in zip(
            ("swarm", "gradient descent"), ends, spent, self.hits, strict=True
        ):
            low, high = clopper_pearson(np.array(hits), runs)
            rows.append(
                {
                    "method": method,
                    "evaluations": int(cost),
                    "median_energy": float(energy.double().median()),
                    "hits": hits,
                    "runs": runs,
                    "low": float(low),
                    "high": float(high),
                }
            )
        return pd.DataFrame(rows)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """The landscape with the first run's particles at five moments, and both kinds of path."""
        from matplotlib import colormaps

        ax = new_axes(ax)
        levels = np.unique(np.quantile(self.landscape, np.linspace(0, 1, 25)))
        shades = colormaps["Greys"](np.linspace(0.02, 0.55, len(levels) - 1))
        ax.contourf(*self.axes, self.landscape.T, levels=levels, colors=shades)
        records = len(self.particles)
        for shade, place in zip(
            np.linspace(0.25, 1, 5), np.linspace(0, records - 1, 5).astype(int), strict=True
        ):
            step = int(self.swarm.steps[place])
            x, y = self.particles[place].T
            ax.scatter(x, y, s=5, color=BLUE, alpha=shade, linewidths=0, label=f"particles, step {step}")
        ax.plot(*self.swarm.consensus[:, 0].T, color=ORANGE, linewidth=1.5, label="their consensus")
        ax.plot(*self.descent.points[:, 0].T, color=VERMILION, linewidth=1.5, label=self.descent.method)
        ax.plot(*self.minimisers.T, "*", color="black", markersize=11, label="minimiser")
        ax.set_xlim(self.axes[0][0], self.axes[0][-1])
        ax.set_ylim(self.axes[1][0], self.axes[1][-1])
        ax.set_aspect("equal")
        ax.set_xlabel("x")
        ax.set_ylabel("y")
        law = self.swarm.settings
        title = f"{law['kind']}, α = {law['alpha']:g}, σ = {law['sigma']:g}, on {self.swarm.objective}"
        ax.set_title(title, fontsize="small")
        ax.legend(fontsize="x-small", loc="lower left")
        return ax

    def summary(self) -> str:
        """Successes with exact intervals, energies, and the cost."""
        lines = [
            f"{row.method}: {row.hits} of {row.runs} runs within {self.radius:g} of a minimiser "
            f"({row.low:.2f} to {row.high:.2f}, 95 % interval), median energy {row.median_energy:.4g}, "
            f"{row.evaluations} evaluations a run"
            for row in self.frame().itertuples()
        ]
        lines[-1] += f" (a gradient counts as {GRADIENT_COST})" + (
            ", interrupted" if self.interrupted else ""
        )
        return "\n".join([f"{self.swarm.objective}, {self.descent.method}", *lines])


def cross(
    landscape: Landscape,
    *,
    kind: str = "isotropic",
    particles: int = 200,
    alpha: float = 100.0,
    sigma: float = 1.6,
    lam: float = 1.0,
    steps: int = 250,
    runs: int = 50,
    rate: float = 5e-3,
    gradient_noise: float = 10.0,
    descent_steps: int = 2000,
    radius: float = 0.25,
    seed: int = 0,
) -> Crossing:
    """Let swarms and stochastic gradient descent go from a corner of a landscape's box.

    Parameters
    ----------
    landscape : Landscape
        Of two variables.
    kind, particles, alpha, sigma, lam, steps, runs
        Of the swarm, as for :func:`~workbench.particles.consensus`; for hopping ``sigma`` is the width.
    rate, gradient_noise, descent_steps
        Learning rate of the descent, deviation of the normal noise in its gradients, and its steps.
    radius : float
        In the maximum norm.
    seed : int
        Of both.

    Raises
    ------
    ValueError
        If the landscape has other than two variables or no known minimiser, or a number is out of range.

    Notes
    -----
    Cost: ``(steps + 1) * particles`` evaluations a run, and ``descent_steps`` gradients.
    """
    minimisers = torch.tensor(landscape.minimisers, dtype=torch.float64)
    landscape.minimiser(2)  # refuses if none is known
    low, high = landscape.box
    swarm = consensus(
        landscape, particles, 2, runs, steps, kind=kind, alpha=alpha, sigma=sigma, lam=lam,
        start=_CORNER * high, spread=_SPREAD * high, seed=seed, keep_particles=True,
    )  # fmt: skip
    assert swarm.trajectory is not None  # it was asked for
    descent = gradient_descent(
        landscape, swarm.trajectory[0, :, 0], rate=rate, noise=gradient_noise,
        evaluations=GRADIENT_COST * descent_steps, seed=seed,
    )  # fmt: skip
    line = torch.linspace(low, high, _GRID, dtype=torch.float64)
    energy = landscape(torch.stack(torch.meshgrid(line, line, indexing="ij"), -1))
    return Crossing(
        swarm=swarm.replace(trajectory=None),
        particles=swarm.trajectory[:, 0].clone(),
        descent=descent,
        axes=(line.numpy(), line.numpy()),
        landscape=energy.numpy(),
        minimisers=minimisers.expand(-1, 2).numpy(),
        radius=radius,
        interrupted=swarm.interrupted or descent.interrupted,
    )
