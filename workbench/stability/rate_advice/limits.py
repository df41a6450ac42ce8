"""``rate_limit``: the largest learning rate that short trainings survive."""

import dataclasses
import math
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from torch.optim import Optimizer

from workbench.chance import chance_loss
from workbench.choices import check_count, check_number
from workbench.colors import BLUE, GREEN, VERMILION
from workbench.problem import Problem
from workbench.progress import progress
from workbench.result import Result, new_axes, student_interval
from workbench.stability.rate_advice.guesses import guess_rate
from workbench.stability.rate_advice.makers import MakeOptimizer, find_maker
from workbench.stability.rate_advice.searches import USUAL_RUNS, OutOfBudget, RateSearch
from workbench.stability.rate_advice.short_runs import ShortRuns

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class RateLimit(Result):
    """What short trainings said of learning rates.

    A run *survives* if its loss over the data, or over ``examples`` of it, ends under the threshold. The
    limit of a seed lies between the last rate before the first that does not and this one, on a grid of
    factors √2 that is climbed from an eighth of where the limit was expected, or from the nearest rate that
    survives. Where between them is not known: the middle is taken, by the logarithm. As each seed's grid has
    a random phase, that errs by up to 2^¼ = 1.19 for one seed, by nothing in the mean over seeds, and by what
    :attr:`interval` counts in a mean of few.

    Attributes
    ----------
    optimizer : str
    batch_size, steps : int
        Of the runs.
    threshold : float
        Loss that a run ends under if it survives.
    limits : ndarray (seeds,)
        By seed of the minibatches: the middle of the rates on both sides.
    trials : ndarray (runs, 3)
        Seed, rate, and loss at the end of each run; after an interrupt also of the seed under way.
    examples : int
        That losses are measured on, the threshold's, too.
    gradients : float
        Cost in gradients over the data.
    today : float or None
        Learning rate of the optimizer that was given, if one was.
    interrupted : bool
        Whether seeds are missing, by an interrupt or for lack of budget.
    out_of_budget : bool
        Which of the two.
    """

    optimizer: str
    batch_size: int
    steps: int
    threshold: float
    limits: np.ndarray
    trials: np.ndarray
    examples: int
    gradients: float
    today: float | None = None
    interrupted: bool = False
    out_of_budget: bool = False

    @property
    def advised(self) -> float:
        """Geometric mean of the limits: the largest rate worth trying, of which a half is safe."""
        return float(np.exp(np.log(self.limits).mean()))

    @property
    def interval(self) -> tuple[float, float]:
        """Of the geometric mean, 95 % by Student's law of the logarithms over seeds; nan for one seed.

        It counts the spacing of the grid: seeds that share a limit have different middles, by their phases.
        """
        mean, half = student_interval(np.log(self.limits))
        return math.exp(mean - half), math.exp(mean + half)

    @cached_property
    def hardly_trains(self) -> bool:
        """Whether the best runs of most seeds end less than 2 % under the threshold: it parts noise then."""
        best = self._finished.groupby("seed")["loss"].min().median()
        return bool(best > self.threshold - 0.02 * abs(self.threshold))

    @cached_property
    def worth_trying(self) -> tuple[float, float]:
        """From the least rate tried that gets half as far as the best of its seed, to half the limit.

        How far is how much a run ends under the threshold; the least rate is a geometric mean over seeds. The
        range is a factor of 2 at least. If even the slowest rates tried get that far, slower ones may, too:
        ``slow_end_open``.
        """
        low = float(np.exp(np.log(self._far.groupby("seed")["rate"].min()).mean()))
        return min(low, self.advised / 4), self.advised / 2

    @property
    def slow_end_open(self) -> bool:
        """Whether in most seeds even the slowest rate that was tried gets half as far as the best."""
        slowest, least = (each.groupby("seed")["rate"].min() for each in (self._finished, self._far))
        return bool((slowest == least).mean() > 0.5)

    @property
    def _finished(self) -> pd.DataFrame:
        """Runs of the seeds whose limit was found."""
        runs = self.frame()
        return runs[runs["seed"].isin(runs["seed"].drop_duplicates()[: len(self.limits)])]

    @property
    def _far(self) -> pd.DataFrame:
        """Those of them that get half as far as the best of their seed."""
        runs = self._finished
        progress = self.threshold - runs["loss"]
        return runs[progress >= progress.groupby(runs["seed"]).transform("max") / 2]

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
        if self.today is not None:
            ax.axvline(self.today, color=GREEN, linestyle="-.", label=f"today {self.today:.2g}")
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
        note = ", OUT OF BUDGET" if self.out_of_budget else ", INTERRUPTED" if self.interrupted else ""
        if self.hardly_trains:
            note += "; RUNS HARDLY END UNDER THE THRESHOLD: give more steps, this limit says nothing"
        today = ""
        if self.today is not None:
            today = f"; today's {self.today:.3g} is {self.today / self.advised:.2g} of it"
        return (
            f"{self.optimizer}, batches of {self.batch_size}: largest rate {self.advised:.3g} "
            f"[{low:.3g}, {high:.3g}]{today}\n"
            f"{len(self.limits)} seeds from {self.limits.min():.3g} to {self.limits.max():.3g}, each known "
            f"within a factor of 2^¼; {self.steps} steps a run, losses of {self.examples} examples, "
            f"{self.gradients:.3g} gradients{note}"
        )


def rate_limit(
    problem: Problem,
    optimizer: str | MakeOptimizer | Optimizer = "sgd",
    *,
    batch_size: int = 32,
    steps: int = 100,
    seeds: int = 5,
    seed: int = 0,
    guess: float | None = None,
    threshold: float | None = None,
    examples: int | None = None,
    budget: float = math.inf,
) -> RateLimit:
    """Find the largest learning rate that this training survives, by trying.

    Formulas say where to begin, no more: with momentum the limit of the quadratic model is several times what
    holds for a network.

    Parameters
    ----------
    problem : Problem
        Runs start where its model is, which stays as it is.
    optimizer : {"sgd", "momentum", "adam"}, callable or Optimizer
        ``optimizer(parameters, rate)`` makes one. Of an optimizer fresh ones are made with the settings that
        it has (:func:`remake_optimizer`); its learning rate is kept as ``today``. It has to hold parameters
        of the problem's model.
    batch_size : int
        Examples of a step; all of them if there are fewer.
    steps : int
        Of each run.
    seeds : int
        Limits that are found, each with minibatches of its own.
    seed : int
        Of the first; the next ones follow.
    guess : float, optional
        Rate near which the first search looks; by default 2/λ for ``"sgd"``, a tenth of it for
        ``"momentum"``, today's of an optimizer, 0.01 for others. A loss without a second derivative needs
        one.
    threshold : float, optional
        Loss that a run must end under; by default :func:`chance_loss`.
    examples : int, optional
        Measure the loss at the end of runs, the chance loss and λ on so many examples, the same random ones
        for all runs and seeds; by default all. Batches of the steps are of all the data.
    budget : float, optional
        Gradients over the data that may be spent: a run for which too little is left is not begun, and the
        seeds that are done are returned, as after an interrupt. One seed is found in any case, whatever it
        costs (``rate_limit_cost(..., seeds=1)`` tells that), if one of its first nine runs survives.

    Returns
    -------
    RateLimit
        An interrupt (Ctrl-C) returns the seeds that are done, if there are any.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, examples cannot be taken out of batches, or no rate survives, at all
        or within the budget.

    Notes
    -----
    Cost: some nine runs for each seed, each of ``steps`` gradients of a batch and a forward pass over the
    examples; some ten products with the Hessian for the guess. :func:`rate_limit_cost` tells it beforehand.
    All data is held in memory. The definition is ours.
    """
    maker = find_maker(problem, optimizer)
    check_count("seeds", seeds)
    check_count("seed", seed, 0)
    check_count("batch_size", batch_size)
    check_number("budget", budget, above=0)
    runs = ShortRuns(problem, maker.make, min(batch_size, problem.num_examples), steps, examples)
    if guess is not None:
        check_number("guess", guess, above=0, below=math.inf)
    if threshold is not None:
        check_number("threshold", threshold, below=math.inf)
    under = chance_loss(runs.judged) if threshold is None else float(threshold)
    guess, products = guess_rate(runs.judged, maker) if guess is None else (guess, 0)
    guessing = 2 * products * runs.judged.num_examples / problem.num_examples
    interrupted = out_of_budget = False
    with progress(f"learning rates of {maker.name}", seeds * USUAL_RUNS * steps) as advance:
        search = RateSearch(runs, guess, under, budget - guessing, advance)
        try:
            for each in range(seed, seed + seeds):
                search.add_limit(each)
        except OutOfBudget:
            if not search.limits:
                raise ValueError(
                    f"within budget={budget:g} no learning rate {search.failure}: give more steps, a guess, "
                    "or a threshold"
                ) from None
            interrupted = out_of_budget = True
        except KeyboardInterrupt:
            if not search.limits:
                raise
            interrupted = True
    return RateLimit(
        optimizer=maker.name,
        batch_size=runs.batch_size,
        steps=steps,
        threshold=under,
        limits=np.array(search.limits),
        trials=np.array(search.trials),
        examples=runs.judged.num_examples,
        gradients=runs.gradients + guessing,
        today=maker.today,
        interrupted=interrupted,
        out_of_budget=out_of_budget,
    )
