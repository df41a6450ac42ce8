"""``success``: in how many runs the minimiser was found, with exact binomial intervals."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from workbench.choices import check_number
from workbench.colors import BLUE
from workbench.particles.landscapes import Landscape
from workbench.particles.swarm import Swarm
from workbench.result import Result, clopper_pearson, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True, repr=False)
class Success(Result):
    """How many runs are near a minimiser, record by record.

    Attributes
    ----------
    name : str
        What was run.
    evaluations : ndarray (records,)
        Spent by a run that has not ended, at each record; a gradient, of a drift, counts as 3.
    hits : ndarray (records,) of int
        Runs within the radius.
    runs : int
        Of how many.
    radius : float
        Largest distance, in every coordinate.
    level : float
        Of the intervals.
    """

    name: str
    evaluations: np.ndarray
    hits: np.ndarray
    runs: int
    radius: float
    level: float

    @property
    def rate(self) -> np.ndarray:
        """Share of the runs (records,)."""
        return self.hits / self.runs

    @property
    def interval(self) -> tuple[np.ndarray, np.ndarray]:
        """Bounds (records,) of the share by Clopper and Pearson: they hold at any number of runs."""
        return clopper_pearson(self.hits, self.runs, self.level)

    def frame(self) -> pd.DataFrame:
        """One row per record."""
        low, high = self.interval
        return pd.DataFrame(
            {
                "evaluations": self.evaluations,
                "hits": self.hits,
                "runs": self.runs,
                "rate": self.rate,
                "low": low,
                "high": high,
            }
        )

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Share of successes against evaluations, with its interval."""
        ax = new_axes(ax)
        low, high = self.interval
        ax.plot(self.evaluations, self.rate, color=BLUE, label=self.name)
        ax.fill_between(self.evaluations, low, high, color=BLUE, alpha=0.2, linewidth=0)
        ax.set_ylim(-0.03, 1.03)
        ax.set_xlabel("evaluations of a run")
        ax.set_ylabel(f"share of runs within {self.radius:g} of the minimiser")
        ax.set_title(self.summary(), fontsize="small")
        return ax

    def summary(self) -> str:
        """The share at the end with its interval."""
        low, high = self.interval
        return (
            f"{self.name}: {self.hits[-1]} of {self.runs} runs within {self.radius:g} of the minimiser, "
            f"{self.rate[-1]:.3f} ({low[-1]:.3f} to {high[-1]:.3f}, {self.level:.0%} interval)"
        )


def success(swarm: Swarm, minimisers: Any, *, radius: float = 0.25, level: float = 0.95) -> Success:
    """Count the runs whose consensus is within ``radius`` of a minimiser in every coordinate.

    Parameters
    ----------
    swarm : Swarm
    minimisers : Landscape, Tensor (dim,) or (m, dim), or nested sequences
        Where success is; near any of several.
    radius : float
        In the maximum norm.
    level : float
        Of the intervals, between 0 and 1.

    Raises
    ------
    ValueError
        If the level or the radius is out of range, no minimiser is known, or it has another dimension.
    """
    check_number("level", level, above=0, below=1)
    check_number("radius", radius, above=0)
    distance = distance_to(minimisers, swarm.consensus)
    return Success(
        name=swarm.objective,
        evaluations=swarm.spent.numpy(),
        hits=(distance < radius).sum(1).numpy(),
        runs=len(swarm.runs),
        radius=radius,
        level=level,
    )


def distance_to(minimisers: Any, points: torch.Tensor) -> torch.Tensor:
    """Distance (...) of points (..., dim) from the nearest minimiser, in the maximum norm."""
    targets = _targets(minimisers, points.shape[-1])
    return (points[..., None, :].double() - targets).abs().amax(-1).amin(-1)


def _targets(minimisers: Any, dim: int) -> torch.Tensor:
    if isinstance(minimisers, Landscape):
        minimisers.minimiser(dim)  # refuses if none is known
        rows: Sequence[Any] = minimisers.minimisers
        return torch.stack([torch.tensor(row, dtype=torch.float64).expand(dim) for row in rows])
    targets = torch.as_tensor(minimisers, dtype=torch.float64)
    if targets.shape[-1:] != (dim,) or targets.ndim > 2:
        raise ValueError(f"minimisers has shape {tuple(targets.shape)}: it must be ({dim},) or (m, {dim})")
    return targets.reshape(-1, dim)
