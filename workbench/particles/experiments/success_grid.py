"""``success_table``: how often swarms find the minimiser, over dimensions and numbers of particles."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from workbench.colors import BLUE, GREEN, ORANGE, SKY, VERMILION
from workbench.particles.landscapes import landscape
from workbench.particles.optimization import consensus
from workbench.particles.success import success
from workbench.progress import progress
from workbench.result import Result, clopper_pearson, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = (BLUE, VERMILION, GREEN, ORANGE, SKY)


@dataclasses.dataclass(frozen=True, repr=False)
class SuccessTable(Result):
    r"""Runs that ended at the minimiser.

    Attributes
    ----------
    landscapes : tuple of str
        Names; that of Rastrigin's function states its coefficient.
    dims, counts : tuple of int
        Dimensions, and particles of a run.
    hits : ndarray (landscapes, dims, counts) of int
        Runs within the radius; -1 in cells that an interrupt came before.
    runs : int
        Of how many.
    steps : int
        Of each run.
    steepness, noise : float
        :math:`\alpha` and :math:`\sigma` of the anisotropic law.
    radius : float
        Largest distance, in every coordinate.
    interrupted : bool
        Whether cells are missing.
    """

    landscapes: tuple[str, ...]
    dims: tuple[int, ...]
    counts: tuple[int, ...]
    hits: np.ndarray
    runs: int
    steps: int
    steepness: float
    noise: float
    radius: float
    interrupted: bool = False

    def frame(self) -> pd.DataFrame:
        """One row per cell: landscape, dimension and number of particles, with exact 95 % intervals."""
        low, high = clopper_pearson(self.hits.clip(0), self.runs)
        index = pd.MultiIndex.from_product(
            [self.landscapes, self.dims, self.counts], names=["landscape", "dim", "particles"]
        )
        columns = {"hits": self.hits, "rate": self.hits / self.runs, "low": low, "high": high}
        table = pd.DataFrame({name: values.ravel() for name, values in columns.items()}, index=index)
        return (
            table[self.hits.ravel() >= 0]
            .reset_index()
            .assign(runs=self.runs, evaluations=lambda frame: frame["particles"] * (self.steps + 1))
        )

    def table(self) -> pd.DataFrame:
        """The same to read: shares with their intervals, a row per landscape and dimension."""
        frame = self.frame()
        words = [f"{row.rate:.2f} ({row.low:.2f}–{row.high:.2f})" for row in frame.itertuples()]
        return frame.assign(share=words).pivot_table(
            index=["landscape", "dim"], columns="particles", values="share", aggfunc="first"
        )

    def plot(self, ax: "Axes | None" = None, name: str | None = None) -> "Axes":
        """Share of successes on one landscape (default the first) against particles, with intervals."""
        ax = new_axes(ax)
        name = self.landscapes[0] if name is None else name
        frame = self.frame().query("landscape == @name")
        for place, dim in enumerate(self.dims):
            part = frame[frame["dim"] == dim]
            sides = np.stack([part["rate"] - part["low"], part["high"] - part["rate"]])
            shift = 1.03 ** (place - (len(self.dims) - 1) / 2)  # or intervals would cover each other
            ax.errorbar(part["particles"] * shift, part["rate"], sides, marker="o", capsize=2,
                        color=COLORS[place % len(COLORS)], label=f"d = {dim}")  # fmt: skip
        ax.set_xscale("log")
        ax.set_xticks(self.counts, [str(count) for count in self.counts])
        ax.minorticks_off()
        ax.set_ylim(-0.03, 1.03)
        ax.set_xlabel("particles")
        ax.set_ylabel(f"share of {self.runs} runs")
        ax.set_title(name, fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """What was run, and the worst and best cell."""
        frame = self.frame()
        worst, best = (frame.iloc[place(frame["rate"])] for place in (np.argmin, np.argmax))
        lines = [
            f"{word}: {row['landscape']}, d = {row['dim']}, {row['particles']} particles: {row['rate']:.2f} "
            f"({row['low']:.2f} to {row['high']:.2f}, 95 % interval)"
            for word, row in (("least", worst), ("most", best))
        ]
        head = (
            f"anisotropic, α = {self.steepness:g}, σ = {self.noise:g}, {self.steps} steps, "
            f"{self.runs} runs a cell, within {self.radius:g} of the minimiser"
            + (", INTERRUPTED" if self.interrupted else "")
        )
        return "\n".join([head, *lines])


def success_table(
    landscapes: Sequence[str] = ("rastrigin", "ackley"),
    dims: Sequence[int] = (2, 5, 10, 20),
    counts: Sequence[int] = (25, 50, 100, 200),
    *,
    table_runs: int = 100,
    table_steps: int = 1000,
    steepness: float = 1e4,
    noise: float = 5.0,
    radius: float = 0.25,
    seed: int = 0,
) -> SuccessTable:
    r"""Run swarms that start uniform in each landscape's box, and count which find the minimiser.

    Parameters
    ----------
    landscapes : sequence of str
        Names in ``LANDSCAPES``; Rastrigin's has the coefficient 2.5.
    dims, counts : sequence of int
        Dimensions, and particles of a run.
    table_runs, table_steps : int
        Of each cell: runs, and steps of a run.
    steepness, noise : float
        :math:`\alpha` and :math:`\sigma` of the anisotropic law.
    radius : float
        In the maximum norm.
    seed : int

    Raises
    ------
    ValueError
        If a name is unknown, a number is out of range, or a landscape has another dimension.

    Notes
    -----
    Cost: ``particles * (table_steps + 1)`` evaluations a run. After Ctrl-C the cells that are done come back,
    with ``interrupted`` set.
    """
    chosen = [landscape(name) for name in landscapes]
    hits = np.full((len(chosen), len(dims), len(counts)), -1)
    if not hits.size:
        raise ValueError("the table is empty: give at least one landscape, dimension and number of particles")
    interrupted = False
    try:
        with progress("successes", hits.size) as advance:
            for place in np.ndindex(hits.shape):
                each, dim, particles = chosen[place[0]], dims[place[1]], counts[place[2]]
                swarm = consensus(
                    each, particles, dim, table_runs, table_steps, alpha=steepness, sigma=noise, seed=seed,
                    every=table_steps, cosine=False,
                )  # fmt: skip
                if swarm.interrupted:
                    raise KeyboardInterrupt
                hits[place] = success(swarm, each, radius=radius).hits[-1]
                advance(1)
    except KeyboardInterrupt:
        if (hits < 0).all():
            raise
        interrupted = True
    return SuccessTable(
        landscapes=tuple(each.name for each in chosen),
        dims=tuple(dims),
        counts=tuple(counts),
        hits=hits,
        runs=table_runs,
        steps=table_steps,
        steepness=steepness,
        noise=noise,
        radius=radius,
        interrupted=interrupted,
    )
