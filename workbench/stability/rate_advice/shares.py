"""``rate_shares``: how many fresh trainings survive an advised rate, and multiples of it."""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from torch.optim import Optimizer

from workbench.choices import check_count, check_number
from workbench.colors import BLUE
from workbench.problem import Problem
from workbench.progress import progress
from workbench.result import Result, clopper_pearson, new_axes
from workbench.stability.rate_advice.limits import RateLimit
from workbench.stability.rate_advice.makers import MakeOptimizer, find_maker
from workbench.stability.rate_advice.short_runs import ShortRuns

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FACTORS = (0.5, 1.0, 2.0, 4.0, 8.0)


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class RateShares(Result):
    """How many runs with fresh minibatches survive.

    Attributes
    ----------
    limit : RateLimit
        The advice.
    factors : ndarray (f,)
        Of the advised rate.
    losses : ndarray (f, seeds)
        At the end of each run.
    interrupted : bool
        Whether seeds are missing.
    """

    limit: RateLimit
    factors: np.ndarray
    losses: np.ndarray
    interrupted: bool = False

    @property
    def survived(self) -> np.ndarray:
        """How many runs of each factor (f,)."""
        return (self.losses < self.limit.threshold).sum(1)

    def frame(self) -> pd.DataFrame:
        """One row per factor, with exact binomial intervals."""
        runs = self.losses.shape[1]
        low, high = clopper_pearson(self.survived, runs)
        return pd.DataFrame(
            {
                "factor": self.factors,
                "rate": self.factors * self.limit.advised,
                "survived": self.survived,
                "runs": runs,
                "low": low,
                "high": high,
            }
        )

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Share of the runs that survive against the rate."""
        ax = new_axes(ax)
        table = self.frame()
        share = table["survived"] / table["runs"]
        bars = share - table["low"], table["high"] - share
        ax.errorbar(table["rate"], share, bars, color=BLUE, marker="o", capsize=2)
        ax.axvline(self.limit.advised, color="0.4", linestyle=":", label="advised limit")
        ax.set_xscale("log")
        ax.set_ylim(-0.03, 1.03)
        ax.set_xlabel("learning rate")
        ax.set_ylabel("share of fresh runs that survive")
        ax.set_title(self.summary(), fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """Runs that survive, by factor."""
        runs = self.losses.shape[1]
        parts = [
            f"{count} of {runs} at {factor:g} ×"
            for factor, count in zip(self.factors, self.survived, strict=True)
        ]
        note = " (INTERRUPTED)" if self.interrupted else ""
        return f"{self.limit.optimizer}: {', '.join(parts)} {self.limit.advised:.3g}{note}"


def rate_shares(
    problem: Problem,
    limit: RateLimit,
    optimizer: str | MakeOptimizer | Optimizer | None = None,
    *,
    factors: Sequence[float] = FACTORS,
    seeds: int = 20,
    seed: int | None = None,
) -> RateShares:
    """Test advice on minibatches that it has not seen.

    Parameters
    ----------
    problem : Problem
        In the state that the advice is for.
    limit : RateLimit
    optimizer : str, callable or Optimizer, optional
        As for :func:`rate_limit`; by default of the name that the advice has.
    factors : sequence of float
        Of the advised rate.
    seeds : int
        Runs of each.
    seed : int, optional
        Of the first; by default the one after those of the advice.

    Returns
    -------
    RateShares
        An interrupt (Ctrl-C) returns the seeds that are done, if there are any.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, seeds are those of the advice, or its optimizer is not known by name.

    Notes
    -----
    Cost: factors × seeds × steps gradients of a batch, and as many forward passes as runs.
    """
    check_count("seeds", seeds)
    make = find_maker(problem, limit.optimizer if optimizer is None else optimizer).make
    if not len(factors):
        raise ValueError("factors is empty: name one at least")
    for factor in factors:
        check_number("factor", factor, above=0, below=math.inf)
    runs = ShortRuns(problem, make, limit.batch_size, limit.steps, limit.examples)
    last = int(limit.trials[:, 0].max())
    first = last + 1 if seed is None else seed
    check_count("seed", first, last + 1)
    losses: list[list[float]] = []
    interrupted = False
    with progress("fresh runs", len(factors) * seeds) as advance:
        try:
            for each in range(first, first + seeds):
                found = []
                for factor in factors:
                    found.append(runs.final_loss(factor * limit.advised, each))
                    advance(1, f"{factor:g} × the limit")
                losses.append(found)
        except KeyboardInterrupt:
            if not losses:
                raise
            interrupted = True
    return RateShares(limit, np.array(factors, dtype=float), np.array(losses).T, interrupted)
