"""``compare_schedules``: trainings with each schedule, and with that refined by the norms of a first pass."""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from workbench.choices import check_choice, check_count
from workbench.colors import BLUE, GREEN, ORANGE, SKY, VERMILION
from workbench.progress import progress
from workbench.result import Result, new_axes
from workbench.stability.experiments.log_means import Mean, log_mean
from workbench.stability.experiments.two_passes.digit_networks import NETWORKS, DigitNetwork
from workbench.stability.experiments.two_passes.logistic_suite import LOGISTIC_SUITE
from workbench.stability.experiments.two_passes.trainable import Trainable
from workbench.stability.schedules.refinement import refine_schedule
from workbench.stability.schedules.shapes import SHAPES, shape

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PROBLEMS = (*LOGISTIC_SUITE, *NETWORKS)
SCHEDULES = (*SHAPES, "refined")
MEASURES = ("train_loss", "test_loss", "test_accuracy")
COLORS = dict(zip(SCHEDULES, (GREEN, SKY, ORANGE, BLUE, VERMILION), strict=True))
_TUNING = 10_000  # seeds from here on choose the rates; those below judge


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class ScheduleContest(Result):
    """Trainings of n problems with five schedules, each at its best learning rate, for s seeds.

    Attributes
    ----------
    problems : tuple of str
        Logistic regressions by SGD, networks by Adam.
    values : ndarray (3, n, 5, s)
        Training loss, held-out loss and accuracy. Training losses of logistic regressions are those above
        the minimum.
    base_rates : ndarray (n, 5)
        Largest learning rate of each schedule, chosen by other seeds.
    at_edge : ndarray (n, 5) of bool
        Whether that was the smallest or the largest to choose from.
    norms : ndarray (n, s, T)
        Of the gradients in the first pass, which is linear decay.
    refined : ndarray (n, s, T)
        The schedules made from them.
    smoothing : float
        Of the refinement.
    tuning_seeds : int
        Trainings that chose a learning rate.
    trainings : int
        All that were run.
    interrupted : bool
        Whether there are fewer problems than were asked for.
    """

    problems: tuple[str, ...]
    values: np.ndarray
    base_rates: np.ndarray
    at_edge: np.ndarray
    norms: np.ndarray
    refined: np.ndarray
    smoothing: float
    tuning_seeds: int
    trainings: int
    interrupted: bool = False

    @property
    def seeds(self) -> int:
        """Number of seeds that judge."""
        return self.values.shape[-1]

    @property
    def steps(self) -> int:
        """T of every training."""
        return self.norms.shape[-1]

    def ratio(self, problem: str, schedule: str, measure: str = "train_loss") -> Mean:
        """Loss over that of linear decay, seed by seed: geometric mean with its 95% interval."""
        return log_mean(self._ratios(problem, schedule, measure))

    def overall(self, schedule: str, problems: Sequence[str] = (), measure: str = "train_loss") -> Mean:
        """Geometric mean of the ratios over problems (all by default); its interval is over problems."""
        chosen = problems or self.problems
        return log_mean(np.array([self.ratio(each, schedule, measure).mean for each in chosen]))

    def wins(self, schedule: str, measure: str = "train_loss") -> tuple[int, int]:
        """Problems on which it is better than linear decay, and worse, beyond the 95% interval."""
        ratios = [self.ratio(problem, schedule, measure) for problem in self.problems]
        return sum(each.high < 1 for each in ratios), sum(each.low > 1 for each in ratios)

    def frame(self) -> pd.DataFrame:
        """One row per problem and schedule: means over the seeds, ratios to linear decay with intervals."""
        rows = []
        for place, problem in enumerate(self.problems):
            for at, schedule in enumerate(SCHEDULES):
                ratio = self.ratio(problem, schedule)
                row: dict[str, object] = {"problem": problem, "schedule": schedule}
                row |= dict(zip(MEASURES, self.values[:, place, at].mean(-1), strict=True))
                row |= {"ratio": ratio.mean, "ratio_low": ratio.low, "ratio_high": ratio.high}
                row |= {"base_rate": self.base_rates[place, at], "at_edge": self.at_edge[place, at]}
                rows.append(row)
        return pd.DataFrame(rows)

    def plot(self, ax: "Axes | None" = None, measure: str = "train_loss") -> "Axes":
        """Draw the ratios to linear decay with their 95% intervals, problem by problem."""
        ax = new_axes(ax)
        ax.axvline(1, color=COLORS["linear"], linewidth=1, label="linear")
        others = [each for each in SCHEDULES if each != "linear"]
        for at, schedule in enumerate(others):
            ratios = [self.ratio(problem, schedule, measure) for problem in self.problems]
            mean, low, high = (np.array(each) for each in list(zip(*ratios, strict=True))[:3])
            heights = np.arange(len(self.problems)) + (at - 1.5) / 6
            errors = np.array([mean - low, high - mean])
            color = COLORS[schedule]
            ax.errorbar(mean, heights, xerr=errors, fmt="o", ms=4, color=color, capsize=2, label=schedule)
        ax.set_yticks(range(len(self.problems)), self.problems)
        ax.invert_yaxis()
        ax.set_xscale("log")
        ax.set_xlabel(f"{measure.replace('test', 'held-out').replace('_', ' ')} / that of linear decay")
        ax.set_title(f"{self.steps} steps, {self.seeds} seeds, 95% intervals", fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def plot_schedules(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the refined schedule of each problem, mean over the seeds, beside linear decay."""
        ax = new_axes(ax)
        part = np.linspace(0, 1, self.steps)
        for place, problem in enumerate(self.problems):
            style = "-" if problem in NETWORKS else "--"
            ax.plot(part, self.refined[place].mean(0), style, linewidth=1.2, label=problem)
        ax.plot(part, shape("linear", self.steps), color="0.3", linewidth=2, label="linear decay")
        ax.set_xlabel("part of the training")
        ax.set_ylabel("rate / largest rate")
        ax.set_title(f"refined schedules, means over {self.seeds} seeds", fontsize="small")
        ax.legend(fontsize="x-small", ncols=2)
        return ax

    def summary(self) -> str:
        """Overall ratio of each schedule to linear decay, on how many problems it wins, and the cost."""
        lines = []
        for schedule in SCHEDULES:
            if schedule != "linear":
                mean, low, high, _ = self.overall(schedule)
                better, worse = self.wins(schedule)
                lines.append(
                    f"{schedule}: training loss {mean:.3g} [{low:.3g}, {high:.3g}] of linear decay's; beyond "
                    f"the interval better on {better} of {len(self.problems)} problems, worse on {worse}"
                )
        note = ", INTERRUPTED before the other problems" if self.interrupted else ""
        lines.append(
            f"{self.trainings} trainings of {self.steps} steps, {self.seeds} seeds, rates chosen by "
            f"{self.tuning_seeds} others{note}"
        )
        return "\n".join(lines)

    def _ratios(self, problem: str, schedule: str, measure: str) -> np.ndarray:
        check_choice("measure", measure, MEASURES)
        check_choice("problem", problem, self.problems)
        check_choice("schedule", schedule, SCHEDULES)
        values = self.values[MEASURES.index(measure), self.problems.index(problem)]
        return values[SCHEDULES.index(schedule)] / values[SCHEDULES.index("linear")]


def compare_schedules(
    problems: Sequence[str] = PROBLEMS,
    *,
    steps: int = 300,
    seeds: int = 5,
    tuning_seeds: int = 2,
    smoothing: float = 0.1,
) -> ScheduleContest:
    """Train each problem with the usual schedules, and in a second pass with a refined one.

    The first pass is linear decay: its gradient norms make the refined schedule, for each seed its own. The
    largest learning rate of every schedule, the refined one too, is the best of a grid by the training loss
    of other seeds.

    Parameters
    ----------
    problems : sequence of str
        ``"breast-cancer"``, ``"wine"``, ``"iris"``, ``"diabetes"``, ``"digits-parity"``, ``"digits-large"``,
        ``"digits-3-8"``: logistic regressions by SGD in batches of 16, with a penalty of 1e-3; ``"mlp"``,
        ``"cnn"``, ``"transformer"``: networks on digits by Adam in batches of 32.
    steps : int
        T of every training, at least 10.
    seeds, tuning_seeds : int
        That judge, and that choose the rates.
    smoothing : float
        Width of the median filter, see :func:`~workbench.stability.refine_schedule`.

    Returns
    -------
    ScheduleContest
        An interrupt (Ctrl-C) returns the problems that are done.

    Raises
    ------
    TypeError, ValueError
        If a problem is unknown, there is none, or a number is out of range.

    Notes
    -----
    Cost: five trainings for each seed that judges, and for each that chooses as many at every rate of the
    grid. All of one problem run as one tensor.
    Source: Defazio et al., arXiv 2310.07831: the two passes and the schedules that they are compared with.
    The problems and sizes are ours.
    """
    if not problems:
        raise ValueError(f"problems is empty: name some of {', '.join(PROBLEMS)}")
    for name in problems:
        check_choice("problems", name, PROBLEMS)
    check_count("steps", steps, low=10)
    check_count("seeds", seeds)
    check_count("tuning_seeds", tuning_seeds)
    refine_schedule(np.ones(steps), smoothing=smoothing)  # refuses what is out of range before it trains
    found: list[_Judged] = []
    interrupted = False
    try:
        with progress("schedules compared", len(problems)) as advance:
            for name in problems:
                found.append(_judge(_problem(name), steps, seeds, tuning_seeds, smoothing))
                advance(1, name)
    except KeyboardInterrupt:
        if not found:
            raise
        interrupted = True
    done = len(found)
    return ScheduleContest(
        problems=tuple(problems[:done]),
        values=np.stack([each.values for each in found], axis=1),
        base_rates=np.array([each.base_rates for each in found]),
        at_edge=np.array([each.at_edge for each in found]),
        norms=np.stack([each.norms for each in found]),
        refined=np.stack([each.refined for each in found]),
        smoothing=float(smoothing),
        tuning_seeds=tuning_seeds,
        trainings=sum(each.trainings for each in found),
        interrupted=interrupted,
    )


@dataclasses.dataclass(frozen=True)
class _Judged:
    """What was found of one problem: values (3, 5, seeds), the others as in the result."""

    values: np.ndarray
    base_rates: list[float]
    at_edge: list[bool]
    norms: np.ndarray
    refined: np.ndarray
    trainings: int


def _problem(name: str) -> Trainable:
    return LOGISTIC_SUITE[name]() if name in LOGISTIC_SUITE else DigitNetwork(name)


def _judge(problem: Trainable, steps: int, seeds: int, tuning_seeds: int, smoothing: float) -> _Judged:
    """Both passes twice: for the seeds that choose the rates, then for those that judge."""
    usual = np.stack([shape(name, steps) for name in SHAPES])
    choosing = range(_TUNING, _TUNING + tuning_seeds)
    grid = np.array(problem.base_rates)

    def refined_by(norms: np.ndarray) -> np.ndarray:
        made = [refine_schedule(each, problem.optimizer, smoothing=smoothing) for each in norms]
        return np.stack([each.rates for each in made])

    shapes = np.repeat(usual[:, None, None], tuning_seeds, axis=2) * grid[:, None, None]
    tuned = problem.train(shapes.reshape(-1, tuning_seeds, steps), choosing)
    best = [_best(each) for each in tuned.values[0].reshape(len(SHAPES), len(grid), -1)]
    linear = SHAPES.index("linear")
    norms = tuned.norms.reshape(len(SHAPES), len(grid), tuning_seeds, steps)[linear, best[linear]]
    again = problem.train(refined_by(norms) * grid[:, None, None], choosing)
    best.append(_best(again.values[0]))
    bases = grid[best]

    first = problem.train(np.repeat(usual[:, None], seeds, axis=1) * bases[:-1, None, None], range(seeds))
    refined = refined_by(first.norms[linear])
    second = problem.train(refined[None] * bases[-1], range(seeds))
    return _Judged(
        values=np.concatenate([first.values, second.values], axis=1),
        base_rates=bases.tolist(),
        at_edge=[place in (0, len(grid) - 1) for place in best],
        norms=first.norms[linear],
        refined=refined,
        trainings=len(SCHEDULES) * (seeds + tuning_seeds * len(grid)),
    )


def _best(losses: np.ndarray) -> int:
    """The rate with the least mean loss (rates, seeds); one that diverges is none."""
    means = np.where(np.isfinite(losses).all(-1), losses.mean(-1), math.inf)
    return int(means.argmin())
