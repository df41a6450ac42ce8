"""``rate_limit``: the largest learning rate that short trainings survive."""

import dataclasses
import functools
import itertools
import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from workbench.chance import chance_loss
from workbench.choices import check_count, check_number
from workbench.colors import BLUE, VERMILION
from workbench.curvature import eigenpairs, hessian
from workbench.problem import Problem
from workbench.progress import Advance, progress
from workbench.result import Result, new_axes, student_interval
from workbench.stability.rate_advice.short_runs import MakeOptimizer, ShortRuns, find_optimizer

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FACTOR = math.sqrt(2)  # between neighbouring rates
_BELOW = 6  # rates of the grid that a search starts below where it expects the limit: a factor of 8
_FARTHEST = 40  # steps of the grid from there: a factor of a million
_TRIALS = 9  # that the progress bar expects of a seed


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class RateLimit(Result):
    """What short trainings said of learning rates.

    A run *survives* if its loss over all the data ends under the threshold. The limit of a seed is the last
    rate before the first that does not, on a grid of factors √2 that is climbed from an eighth of where the
    limit was expected, or from the nearest rate that survives.

    Attributes
    ----------
    optimizer : str
    batch_size, steps : int
        Of the runs.
    threshold : float
        Loss that a run ends under if it survives.
    limits : ndarray (seeds,)
        By seed of the minibatches.
    trials : ndarray (runs, 3)
        Seed, rate, and loss at the end of each run; after an interrupt also of the seed under way.
    gradients : float
        Cost in gradients over the data.
    interrupted : bool
        Whether seeds are missing.
    """

    optimizer: str
    batch_size: int
    steps: int
    threshold: float
    limits: np.ndarray
    trials: np.ndarray
    gradients: float
    interrupted: bool = False

    @property
    def advised(self) -> float:
        """Geometric mean of the limits: the largest rate worth trying, of which a half is safe."""
        return float(np.exp(np.log(self.limits).mean()))

    @property
    def interval(self) -> tuple[float, float]:
        """Of the geometric mean of rates of the grid, 95 % by Student's law of the logarithms.

        That each limit is rounded down, by up to √2, is not in it.
        """
        mean, half = student_interval(np.log(self.limits))
        return math.exp(mean - half), math.exp(mean + half)

    @property
    def hardly_trains(self) -> bool:
        """Whether the best runs of most seeds end less than 2 % under the threshold: it parts noise then."""
        best = pd.Series(self.trials[:, 2]).groupby(self.trials[:, 0]).min().median()
        return bool(best > self.threshold - 0.02 * abs(self.threshold))

    def frame(self) -> pd.DataFrame:
        """One row per run, with whether it survived."""
        table = pd.DataFrame(self.trials, columns=["seed", "rate", "loss"]).astype({"seed": int})
        return table.assign(survived=table["loss"] < self.threshold)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Loss at the end of each run against its rate, with the threshold and the advised rate."""
        ax = new_axes(ax)
        highest = self.threshold + 3 * abs(self.threshold) or 1.0
        for _, runs in self.frame().sort_values("rate").groupby("seed"):
            shown = runs["loss"].clip(upper=highest)
            ax.plot(runs["rate"], shown, "o-", color=BLUE, alpha=0.5, markersize=3, linewidth=0.8)
        low, high = self.interval
        ax.axhline(self.threshold, color="0.4", linestyle=":", label=f"must end under {self.threshold:.3g}")
        ax.axvline(self.advised, color=VERMILION, linestyle="--", label=f"limit {self.advised:.2g}")
        if math.isfinite(low):
            ax.axvspan(low, high, color=VERMILION, alpha=0.15, linewidth=0)
        ax.set_xscale("log")
        ax.set_xlabel("learning rate")
        ax.set_ylabel(f"loss after {self.steps} steps (at most {highest:.3g} shown)")
        ax.set_title(self.summary().splitlines()[0], fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """The limit with its interval and spread, and what was run."""
        low, high = self.interval
        note = ", INTERRUPTED" if self.interrupted else ""
        if self.hardly_trains:
            note += "; RUNS HARDLY END UNDER THE THRESHOLD: give more steps, this limit says nothing"
        return (
            f"{self.optimizer}, batches of {self.batch_size}: largest rate {self.advised:.3g} "
            f"[{low:.3g}, {high:.3g}]\n"
            f"{len(self.limits)} seeds from {self.limits.min():.3g} to {self.limits.max():.3g}, {self.steps} "
            f"steps each, {self.gradients:.3g} gradients{note}"
        )


def rate_limit(
    problem: Problem,
    optimizer: str | MakeOptimizer = "sgd",
    *,
    batch_size: int = 32,
    steps: int = 100,
    seeds: int = 5,
    seed: int = 0,
    guess: float | None = None,
    threshold: float | None = None,
) -> RateLimit:
    """Find the largest learning rate that this training survives, by trying.

    Formulas say where to begin, no more: with momentum the limit of the quadratic model is several times what
    holds for a network.

    Parameters
    ----------
    problem : Problem
        Runs start where its model is, which stays as it is.
    optimizer : {"sgd", "momentum", "adam"} or callable
        ``optimizer(parameters, rate)`` makes one.
    batch_size : int
        Examples of a step; all of them if there are fewer.
    steps : int
        Of each run.
    seeds : int
        Limits that are found, each with minibatches of its own.
    seed : int
        Of the first; the next ones follow.
    guess : float, optional
        Rate near which the first search looks; by default 2/λ, a tenth of it with momentum, 0.01 for others.
    threshold : float, optional
        Loss that a run must end under; by default :func:`chance_loss`.

    Returns
    -------
    RateLimit
        An interrupt (Ctrl-C) returns the seeds that are done, if there are any.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, examples cannot be taken out of batches, or no rate survives.

    Notes
    -----
    Cost: a handful of runs for each seed, each of ``steps`` gradients of a batch and a forward pass over all
    the data; some ten products with the Hessian for the guess. The definition is ours.
    """
    name, make = find_optimizer(optimizer)
    check_count("seeds", seeds)
    check_count("seed", seed, 0)
    check_count("batch_size", batch_size)
    runs = ShortRuns(problem, make, min(batch_size, problem.num_examples), steps)
    if guess is not None:
        check_number("guess", guess, above=0, below=math.inf)
    if threshold is not None:
        check_number("threshold", threshold, below=math.inf)
    under = chance_loss(problem) if threshold is None else float(threshold)
    guess, products = _guess(problem, name) if guess is None else (guess, 0)
    limits: list[float] = []
    interrupted = False
    with progress(f"learning rates of {name}", seeds * _TRIALS * steps) as advance:
        search = _Search(runs, guess, under, advance)
        try:
            for each in range(seed, seed + seeds):
                limits.append(search.limit(each))
        except KeyboardInterrupt:
            if not limits:
                raise
            interrupted = True
    return RateLimit(
        optimizer=name,
        batch_size=runs.batch_size,
        steps=steps,
        threshold=under,
        limits=np.array(limits),
        trials=np.array(search.trials),
        gradients=runs.gradients + 2 * products,
        interrupted=interrupted,
    )


class _Search:
    """Limits of one seed after the other, on one grid of rates."""

    def __init__(self, runs: ShortRuns, guess: float, threshold: float, advance: Advance) -> None:
        self._runs, self._guess, self._threshold, self._advance = runs, guess, threshold, advance
        self._limit = 0  # a place on the grid
        self.trials: list[tuple[int, float, float]] = []

    def limit(self, seed: int) -> float:
        """Climb from below where the limit is expected, or from the nearest rate that survives."""
        survives = functools.cache(functools.partial(self._survives, seed))
        start = self._limit - _BELOW
        places = itertools.chain((start,), *((start - far, start + far) for far in range(1, _FARTHEST)))
        place = next(filter(survives, places), None)
        if place is None:
            raise ValueError(
                f"no learning rate ends under a loss of {self._threshold:.3g} after {self._runs.steps} "
                "steps: give more steps, or a threshold"
            )
        while survives(place + 1):
            place += 1
            if place > start + _FARTHEST:
                raise ValueError(f"every rate up to {self._guess * _FACTOR**place:.3g} survives: is it used?")
        self._limit = place
        return self._guess * _FACTOR**place

    def _survives(self, seed: int, place: int) -> bool:
        rate = self._guess * _FACTOR**place
        loss = self._runs.final_loss(rate, seed)
        self.trials.append((seed, rate, loss))
        self._advance(self._runs.steps, f"rate {rate:.2g}, loss {loss:.3g}")
        return loss < self._threshold


def _guess(problem: Problem, name: str) -> tuple[float, int]:
    """A first rate, and the products with the Hessian that it took."""
    if name not in ("sgd", "momentum"):
        return 0.01, 0
    matrix = hessian(problem)
    sharpness = float(eigenpairs(matrix, 1, "LM", tol=0.1, method="lanczos").values[0].abs())
    share = 2.0 if name == "sgd" else 0.2
    return (share / sharpness if sharpness > 0 else 0.1), matrix.matvecs
