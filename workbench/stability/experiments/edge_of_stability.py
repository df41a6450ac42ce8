"""``edge_of_stability``: sharpness of full-batch training against the optimiser's threshold."""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from torch.optim import SGD

from workbench.choices import check_count
from workbench.colors import BLUE, GREEN, ORANGE, SKY, VERMILION
from workbench.curvature import Eigenpairs, eigenpairs, hessian
from workbench.problem import Problem
from workbench.progress import progress
from workbench.result import Result, new_axes
from workbench.stability.experiments.digits_regression import class_regression
from workbench.stability.experiments.log_means import student_mean
from workbench.stability.thresholds import sharpness_threshold

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TOLERANCE = 1e-2  # relative residual of a sharpness; its own error is smaller, of second order
_COLORS = (BLUE, VERMILION, GREEN, ORANGE, SKY)


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class EdgeOfStability(Result):
    """Sharpness during full-batch trainings, for r learning rates and k seeds, at m steps.

    Attributes
    ----------
    ratios : ndarray (r,)
        The threshold over the initial sharpness; what each learning rate comes from.
    seeds : tuple of int
        Of the initial weights.
    momentum : float
        Of heavy ball; 0 is gradient descent.
    steps : ndarray (m,)
        Where the sharpness was measured.
    learning_rates, thresholds : ndarray (r, k)
        Of each run; the threshold is that of :func:`~workbench.stability.sharpness_threshold`.
    sharpness, residuals, loss : ndarray (r, k, m)
        Largest eigenvalue of the Hessian, its residual norm, and the loss; nan after a run has diverged.
    matvecs : int
        Hessian products spent on the sharpness.
    interrupted : bool
        Whether runs are missing; what is there of them is nan.
    """

    ratios: np.ndarray
    seeds: tuple[int, ...]
    momentum: float
    steps: np.ndarray
    learning_rates: np.ndarray
    thresholds: np.ndarray
    sharpness: np.ndarray
    residuals: np.ndarray
    loss: np.ndarray
    matvecs: int
    interrupted: bool = False

    @property
    def level(self) -> np.ndarray:
        """Sharpness over the threshold (r, k, m): 1 is the edge."""
        return self.sharpness / self.thresholds[..., None]

    @property
    def diverged(self) -> np.ndarray:
        """Whether a run left for infinity (r, k)."""
        return np.isfinite(self.sharpness[..., 0]) & ~np.isfinite(self.sharpness[..., -1])

    @property
    def break_even(self) -> np.ndarray:
        """First measured step with the sharpness at the threshold or above (r, k); nan if there is none."""
        reached = self.level >= 1
        return np.where(reached.any(-1), self.steps[reached.argmax(-1)], np.nan)

    @property
    def time_means(self) -> np.ndarray:
        """Mean level from break-even to the end (r, k); nan for runs that never got there or diverged."""
        after = self.steps >= self.break_even[..., None]
        counts = after.sum(-1)
        sums = np.where(after, self.level, 0).sum(-1)
        return np.where((counts > 0) & ~self.diverged, sums / np.maximum(counts, 1), np.nan)

    def frame(self) -> pd.DataFrame:
        """One row per run."""
        at, run = np.indices(self.learning_rates.shape)
        return pd.DataFrame(
            {
                "ratio": self.ratios[at.ravel()],
                "seed": np.array(self.seeds)[run.ravel()],
                "momentum": self.momentum,
                "learning_rate": self.learning_rates.ravel(),
                "threshold": self.thresholds.ravel(),
                "initial_sharpness": self.sharpness[..., 0].ravel(),
                "break_even": self.break_even.ravel(),
                "time_mean": self.time_means.ravel(),
                "final_level": self.level[..., -1].ravel(),
                "final_loss": self.loss[..., -1].ravel(),
                "diverged": self.diverged.ravel(),
            }
        )

    def by_rate(self) -> pd.DataFrame:
        """One row per learning rate: the mean over the seeds that reached the edge.

        ``low`` and ``high`` are its 95% interval by Student's t, nan for one seed.
        """
        rows = []
        for place, ratio in enumerate(self.ratios):
            means = self.time_means[place]
            mean = student_mean(means[np.isfinite(means)])
            rows.append(
                {
                    "ratio": ratio,
                    "learning_rate": np.nanmean(self.learning_rates[place]),
                    "runs": len(means),
                    "reached": mean.used,
                    "diverged": int(self.diverged[place].sum()),
                    "time_mean": mean.mean,
                    "low": mean.low,
                    "high": mean.high,
                }
            )
        return pd.DataFrame(rows)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the sharpness over the threshold against the step, a colour for each learning rate."""
        ax = new_axes(ax)
        ax.axhline(1, color="0.4", linestyle="--", linewidth=1, label="edge of stability")
        for place, ratio in enumerate(self.ratios):
            color = _COLORS[place % len(_COLORS)]
            for run in range(len(self.seeds)):
                (line,) = ax.plot(self.steps, self.level[place, run], color=color, linewidth=1, alpha=0.8)
                if run == 0:
                    line.set_label(f"threshold {ratio:.3g} × initial sharpness")
        ax.set_xlabel("step")
        ax.set_ylabel("sharpness / threshold")
        ax.set_ylim(0, 1.1 * max(1.2, float(np.nanmax(self.level, initial=0))))
        method = f"heavy ball, β = {self.momentum:.3g}" if self.momentum else "gradient descent"
        ax.set_title(f"{method}: {self.summary().splitlines()[0]}", fontsize="small")
        ax.legend(fontsize="small", loc="lower right")
        return ax

    def summary(self) -> str:
        """Range of the time means, what never broke even or diverged, and the cost."""
        means = self.time_means
        reached = means[np.isfinite(means)]
        span = f"time means {reached.min():.3f} to {reached.max():.3f} of the edge" if len(reached) else ""
        begun = int(np.isfinite(self.sharpness[..., 0]).sum())
        never = begun - len(reached) - int(self.diverged.sum())
        state = f"{len(reached)} of {begun} runs reached it, {never} never, {self.diverged.sum()} diverged"
        note = ", INTERRUPTED" if self.interrupted else ""
        return (
            f"{span or 'no run at the edge'}; {state}{note}\n"
            f"{self.steps[-1]} steps a run, {self.matvecs} Hessian products for the sharpness"
        )


def edge_of_stability(
    ratios: Sequence[float] = (1.1, 1.35, 1.6, 1.9),
    *,
    momentum: float = 0.0,
    seeds: Sequence[int] = (0, 1, 2),
    steps: int = 3000,
    every: int = 20,
    examples: int = 1000,
    width: int = 32,
) -> EdgeOfStability:
    r"""Train on digits with the whole batch and follow the sharpness to the edge of stability.

    A tanh network with loss ½‖·‖² per example on one-hot classes. Each learning rate is chosen so that the
    threshold (:math:`2/\eta`, with momentum :math:`(2 + 2\beta)/\eta`) is a given multiple of the sharpness
    at the start: training is stable at first, and has to sharpen to meet the edge.

    Parameters
    ----------
    ratios : sequence of float
        Thresholds over the initial sharpness, above 0.
    momentum : float
        Of heavy ball.
    seeds : sequence of int
        One run for each seed and ratio.
    steps, every : int
        Steps of each run, and between measurements of the sharpness.
    examples, width : int
        Of the digits, and hidden units.

    Returns
    -------
    EdgeOfStability
        An interrupt (Ctrl-C) returns the runs that were done.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Notes
    -----
    Cost: a gradient a step, and per measurement about 12 Hessian products, warm-started from the last
    eigenvector.
    Source: Cohen et al., "Gradient descent on neural networks typically occurs at the edge of stability",
    arXiv 2103.00065.
    """
    check_count("steps", steps, low=1)
    check_count("every", every, low=1, high=steps)
    check_count("number of seeds", len(seeds))
    if not len(ratios) or not all(ratio > 0 and math.isfinite(ratio) for ratio in ratios):
        raise ValueError(f"ratios={list(ratios)} are out of range: there must be some, all positive")
    times = np.arange(0, steps + 1, every)
    shape = len(ratios), len(seeds)
    rates, thresholds = np.full(shape, np.nan), np.full(shape, np.nan)
    sharpness, residuals, loss = (np.full((*shape, len(times)), np.nan) for _ in range(3))
    matvecs = 0
    interrupted = False
    try:
        with progress("edge of stability", len(ratios) * len(seeds) * len(times)) as advance:
            for place, ratio in enumerate(ratios):
                for run, seed in enumerate(seeds):
                    training = _Training(class_regression(examples, width, seed), ratio, momentum)
                    found = np.full((3, len(times)), np.nan)
                    for number in range(len(times)):
                        if number and not training.advance(every):
                            break
                        found[:, number] = training.measure()
                        advance(1, f"{ratio:.3g} × initial sharpness, seed {seed}")
                    sharpness[place, run], residuals[place, run], loss[place, run] = found
                    rates[place, run], thresholds[place, run] = training.rate, training.threshold
                    matvecs += training.matvecs
    except KeyboardInterrupt:
        if not matvecs:
            raise
        interrupted = True
    return EdgeOfStability(
        ratios=np.array(ratios, dtype=float),
        seeds=tuple(seeds),
        momentum=float(momentum),
        steps=times,
        learning_rates=rates,
        thresholds=thresholds,
        sharpness=sharpness,
        residuals=residuals,
        loss=loss,
        matvecs=matvecs,
        interrupted=interrupted,
    )


class _Training:
    """A full-batch training and its sharpness, whose last eigenvector is where the next search starts."""

    def __init__(self, problem: Problem, ratio: float, momentum: float) -> None:
        self.problem = problem
        ((self.batch, _),) = problem.batches()
        self.matvecs = 0
        self.pairs: Eigenpairs | None = None
        self.threshold = ratio * self.measure()[0]
        parameters = list(problem.model.parameters())
        # The threshold of a learning rate goes as its inverse.
        self.rate = sharpness_threshold(SGD(parameters, lr=1, momentum=momentum)).value / self.threshold
        self.optimizer = SGD(parameters, lr=self.rate, momentum=momentum)

    def measure(self) -> tuple[float, float, float]:
        """Sharpness, its residual norm, and the loss."""
        matrix = hessian(self.problem, check=self.pairs is None, memory=0)
        self.pairs = eigenpairs(matrix, 1, tol=_TOLERANCE, start=self.pairs, method="lanczos")
        self.matvecs += self.pairs.matvecs
        if self.pairs.interrupted:
            raise KeyboardInterrupt
        return self.pairs.values[0].item(), self.pairs.residuals[0].item(), self.problem.loss_at()

    def advance(self, steps: int) -> bool:
        """Take some steps; whether the loss is finite after them."""
        inputs, targets = self.batch
        for _ in range(steps):
            self.optimizer.zero_grad()
            self.problem.loss(self.problem.model(inputs), targets).backward()
            self.optimizer.step()
        return math.isfinite(self.problem.loss_at())
