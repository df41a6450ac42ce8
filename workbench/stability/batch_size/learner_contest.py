"""``compare_learner``: the learner from Lanczos against fixed rates and momenta, pass for pass."""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from workbench.choices import check_number
from workbench.colors import BLUE, ORANGE, VERMILION
from workbench.problem import Problem
from workbench.progress import progress
from workbench.result import Result, new_axes
from workbench.stability.batch_size.learnt_trainings import LearntTrainings, train_by_lanczos
from workbench.stability.batch_size.stacked_runs import StackedRuns, batch_orders, stacked_starts
from workbench.stability.experiments.log_means import Mean, log_mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Each batch-noise corrected or not, and the share of the learnt rate: the third is ours.
LEARNERS = ((True, 1.0), (False, 1.0), (True, 0.25))
FIXED = ((0.03, 0.0), (0.1, 0.0), (0.3, 0.0), (1.0, 0.0), (0.01, 0.9), (0.03, 0.9), (0.1, 0.9), (0.3, 0.9))
COLORS = (BLUE, VERMILION, ORANGE)


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class LearnerContest(Result):
    """Learners, and heavy ball with f fixed settings for as many passes over the data, for k seeds.

    Attributes
    ----------
    learners : tuple of LearntTrainings
    fixed : ndarray (f, 2)
        Rates and momenta.
    fixed_loss : ndarray (f, p + 1, k)
        Loss over all the data after 0 to p passes.
    interrupted : bool
        Whether there are fewer passes than the dearest seed of a learner took, or fewer learners and no pass.
    """

    learners: tuple[LearntTrainings, ...]
    fixed: np.ndarray
    fixed_loss: np.ndarray
    interrupted: bool = False

    @property
    def passes(self) -> int:
        """Passes of each fixed setting: what the dearest seed of a learner took, rounded up."""
        return self.fixed_loss.shape[1] - 1

    def at_passes(self, learner: int, place: int) -> Mean:
        """Loss of a fixed setting over that of a learner after as many passes, seed by seed.

        Geometric mean with its 95% interval; a loss that has exploded counts as 1e6. Seeds that spent more
        than the passes that are done, after an interrupt, are left out.
        """
        found = self.learners[learner]
        spent = np.floor(found.passes[-1]).astype(int)
        (known,) = np.nonzero(spent <= self.passes)
        fixed = self.fixed_loss[place, spent[known], known]
        return log_mean(_bounded(fixed) / _bounded(found.loss[-1, known]))

    def at_epochs(self, learner: int, place: int) -> Mean:
        """The same after as many epochs, as if curvature cost nothing."""
        found = self.learners[learner]
        epochs = min(len(found.rates), self.passes)
        return log_mean(_bounded(self.fixed_loss[place, epochs]) / _bounded(found.loss[epochs]))

    def mean_fixed(self, place: int) -> np.ndarray:
        """Geometric mean over the seeds of the loss of a fixed setting (p + 1,)."""
        return np.exp(np.log(_bounded(self.fixed_loss[place])).mean(-1))

    def mean_learnt(self, found: LearntTrainings) -> np.ndarray:
        """The same of a learner (e + 1,)."""
        return np.exp(np.log(_bounded(found.loss)).mean(-1))

    def frame(self) -> pd.DataFrame:
        """One row per learner and fixed setting: ratios of the fixed one's loss to the learner's."""
        rows = []
        for learner, found in enumerate(self.learners):
            for place, (rate, momentum) in enumerate(self.fixed):
                passes, epochs = self.at_passes(learner, place), self.at_epochs(learner, place)
                row = {"learner": found.name, "fixed_rate": rate, "fixed_momentum": momentum}
                row |= {"at_equal_passes": passes.mean, "low": passes.low, "high": passes.high}
                row |= {"at_equal_epochs": epochs.mean, "epochs_low": epochs.low, "epochs_high": epochs.high}
                rows.append(row)
        return pd.DataFrame(rows)

    def better(self, learner: int) -> tuple[int, int]:
        """Fixed settings with less loss in the mean at as many passes, and at as many epochs."""
        places = range(len(self.fixed))
        return (
            sum(self.at_passes(learner, place).mean < 1 for place in places),
            sum(self.at_epochs(learner, place).mean < 1 for place in places),
        )

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the geometric mean of the loss against passes over the data, fixed settings gray."""
        ax = new_axes(ax)
        for place, (rate, momentum) in enumerate(self.fixed):
            mean = self.mean_fixed(place)
            line = ax.plot(np.arange(len(mean)), mean, color="0.65", linewidth=1, zorder=1)
            if place == 0:
                line[0].set_label("fixed, rate / momentum")
            ax.annotate(f"{rate:g} / {momentum:g}", (self.passes, mean[-1]), fontsize="x-small", color="0.4")
        for found, color in zip(self.learners, COLORS, strict=False):
            mean = self.mean_learnt(found)
            ax.plot(found.passes.mean(-1), mean, "o-", color=color, markersize=4, label=found.name)
        ax.set_yscale("log")
        ax.set_xlabel("gradients over all the data")
        ax.set_ylabel("loss")
        ax.set_title(f"geometric means of {self.fixed_loss.shape[-1]} seeds", fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """Each learner's own summary, and how many fixed settings were better."""
        lines = []
        for place, found in enumerate(self.learners):
            passes, epochs = self.better(place)
            lines.append(found.summary())
            lines.append(
                f"  of {len(self.fixed)} fixed settings {passes} have less loss at as many passes, "
                f"{epochs} at as many epochs"
            )
        if self.interrupted:
            lines.append("INTERRUPTED")
        return "\n".join(lines)


def compare_learner(
    problem: Problem | Sequence[Problem],
    *,
    fixed: Sequence[tuple[float, float]] = FIXED,
    batch_size: int = 32,
    epochs: int = 10,
    examples: int = 256,
    seeds: int = 4,
    seed: int = 0,
) -> LearnerContest:
    """Train by three learners, then by heavy ball with fixed settings for as many passes over the data.

    The learners are that of :func:`train_by_lanczos`, the same without correction for the noise of batches,
    and one that takes a quarter of the rate. All fixed settings and seeds are one tensor program.

    Parameters
    ----------
    problem : Problem, or sequence of them
        Where trainings start.
    fixed : sequence of (rate, momentum)
        A grid rather than a best one: nobody knows that beforehand.
    batch_size, epochs, examples, seeds, seed
        As in :func:`train_by_lanczos`.

    Returns
    -------
    LearnerContest
        An interrupt (Ctrl-C) returns the learners and the passes that are done.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Notes
    -----
    Cost: three learners, and the passes of the dearest seed for each fixed setting. Loss is that of the
    training.
    """
    if not fixed:
        raise ValueError("fixed is empty: name one (rate, momentum) at least")
    for rate, momentum in fixed:
        check_number("rate", rate, above=0, below=math.inf)
        check_number("momentum", momentum, low=0, below=1)
    learners: list[LearntTrainings] = []
    try:
        for corrected, share in LEARNERS:
            found = train_by_lanczos(
                problem,
                batch_size=batch_size,
                epochs=epochs,
                examples=examples,
                corrected=corrected,
                share=share,
                seeds=seeds,
                seed=seed,
            )
            if found.interrupted:
                raise KeyboardInterrupt
            learners.append(found)
    except KeyboardInterrupt:
        if not learners:
            raise
    complete = len(learners) == len(LEARNERS)
    passes = math.ceil(max(found.passes[-1].max() for found in learners)) if complete else 0
    losses = _train_fixed(problem, fixed, batch_size, passes, range(seed, seed + seeds))
    return LearnerContest(
        learners=tuple(learners),
        fixed=np.array(fixed, dtype=float),
        fixed_loss=np.stack(losses, axis=1),
        interrupted=not complete or len(losses) < passes + 1,
    )


def _train_fixed(
    problem: Problem | Sequence[Problem],
    fixed: Sequence[tuple[float, float]],
    batch_size: int,
    passes: int,
    seeds: Sequence[int],
) -> list[np.ndarray]:
    """Losses (f, k) after each pass, up to an interrupt."""
    count = len(seeds)
    first, weights = stacked_starts(problem, count)
    settings = torch.tensor(fixed, dtype=torch.float64).repeat_interleave(count, dim=0)
    runs = StackedRuns(first, weights.repeat(len(fixed), 1), settings[:, 0], momenta=settings[:, 1])
    steps = first.num_examples // batch_size
    places = batch_orders(first.num_examples, batch_size, passes * steps, seeds)
    losses = [runs.losses()]
    with progress("fixed rates", passes * steps) as advance:
        try:
            for done in range(passes):
                for step in range(done * steps, (done + 1) * steps):
                    runs.step(places[:, step].repeat(len(fixed), 1))
                    advance(1)
                losses.append(runs.losses())
        except KeyboardInterrupt:
            pass  # what is done is told by its length
    return [each.reshape(len(fixed), count).numpy() for each in losses]


def _bounded(loss: np.ndarray) -> np.ndarray:
    """The loss, at most 1e6: a training that has exploded counts, by no more than that."""
    return np.minimum(np.nan_to_num(loss, nan=np.inf, posinf=np.inf), 1e6)
