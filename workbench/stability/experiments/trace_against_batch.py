"""``trace_against_batch``: which minima SGD of each batch size ends in, and which bound they keep."""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from workbench.choices import check_count
from workbench.colors import BLUE, GREEN, SKY, VERMILION
from workbench.progress import progress
from workbench.result import Result, new_axes
from workbench.stability.experiments.digits_regression import parity_regression, train_by_sgd
from workbench.stability.linear_limits import LinearStability
from workbench.stability.minima import linear_stability

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ENDINGS = {"mean": "", "sem": "_stderr"}
SHOWN = {
    "bare_trace": ("η tr H / 2, due below 1 at batch size 1 only", VERMILION, "s"),
    "exact": ("η / exact limit", BLUE, "o"),
    "trace": ("η / limit from trace and ‖H‖, batch size counted", SKY, "^"),
    "gradient_descent": ("η λ / 2", GREEN, "v"),
}


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class TraceAgainstBatch(Result):
    """Minima that SGD found, for s batch sizes and k seeds, and what they allow.

    Attributes
    ----------
    learning_rate : float
        Of all runs.
    batch_sizes : ndarray (s,) of int
        Ascending.
    seeds : tuple of int
        Of weights and batches.
    loss, trace : ndarray (s, k)
        At the end, and tr H there; nan where a run has diverged or is missing.
    shares : dict of str to ndarray (s, k)
        The learning rate over the limit of each condition at its minimum: a minimum where SGD can rest has 1
        at most, if the condition holds. By the conditions of :class:`~.linear_limits.LinearStability`.
    tolerance : float
        Loss up to which a run counts as one that interpolates.
    steps : int
        Of each run.
    interrupted : bool
        Whether runs are missing.
    """

    learning_rate: float
    batch_sizes: np.ndarray
    seeds: tuple[int, ...]
    loss: np.ndarray
    trace: np.ndarray
    shares: dict[str, np.ndarray]
    tolerance: float
    steps: int
    interrupted: bool = False

    @property
    def interpolates(self) -> np.ndarray:
        """Which runs count (s, k)."""
        return self.loss <= self.tolerance

    def frame(self) -> pd.DataFrame:
        """One row per run."""
        at, run = np.indices(self.loss.shape)
        columns = {f"share_{name}": values.ravel() for name, values in self.shares.items()}
        return pd.DataFrame(
            {
                "batch_size": self.batch_sizes[at.ravel()],
                "seed": np.array(self.seeds)[run.ravel()],
                "loss": self.loss.ravel(),
                "interpolates": self.interpolates.ravel(),
                "trace": self.trace.ravel(),
            }
            | columns
        )

    def by_size(self) -> pd.DataFrame:
        """One row per batch size: means and standard errors over the seeds that interpolate."""
        frame = self.frame()
        columns = ["trace", *(f"share_{name}" for name in SHOWN)]
        counted = frame[frame["interpolates"]].groupby("batch_size")[columns].agg(["mean", "sem"])
        counted.columns = [f"{each[0]}{_ENDINGS[each[1]]}" for each in counted.columns]
        runs = frame.groupby("batch_size")["interpolates"].agg(runs="size", interpolate="sum")
        return runs.join(counted).reset_index()

    def largest_share(self, condition: str) -> float:
        """Largest learning rate over limit of the runs that interpolate; nan if there is none."""
        values = self.shares[condition][self.interpolates]
        return float(np.max(values)) if len(values) else math.nan

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the learning rate over each limit against the batch size, every run and their means."""
        ax = new_axes(ax)
        ax.axhline(1, color="0.4", linestyle="--", linewidth=1, label="the limit")
        means = self.by_size()
        for name, (label, color, marker) in SHOWN.items():
            counted = np.where(self.interpolates, self.shares[name], np.nan)
            sizes = np.broadcast_to(self.batch_sizes[:, None], counted.shape)
            ax.plot(sizes.ravel(), counted.ravel(), marker, color=color, markersize=4, alpha=0.4)
            ax.plot(means["batch_size"], means[f"share_{name}"], color=color, marker=marker, label=label)
        ax.set_xscale("log", base=2)
        ax.set_xticks(self.batch_sizes, [str(size) for size in self.batch_sizes])
        ax.minorticks_off()
        ax.set_ylim(bottom=0)
        ax.set_xlabel("batch size (examples)")
        ax.set_ylabel("learning rate / limit")
        ax.set_title(self.summary().splitlines()[0], fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """What the minima come to, how many runs count, and the cost."""
        shares = {name: self.largest_share(name) for name in ("bare_trace", "trace", "exact")}
        left = int(np.isfinite(self.loss).sum())
        note = ", INTERRUPTED" if self.interrupted else ""
        return (
            f"η tr H / 2 up to {shares['bare_trace']:.2f}, yet η / exact limit up to {shares['exact']:.3f}\n"
            f"η / limit from trace, ‖H‖ and batch size up to {shares['trace']:.3f}\n"
            f"{int(self.interpolates.sum())} of {self.loss.size} runs interpolate to {self.tolerance:.0e}, "
            f"{self.loss.size - left} diverged or missing{note}; "
            f"η = {self.learning_rate:.3g}, {self.steps} steps each"
        )


def trace_against_batch(
    batch_sizes: Sequence[int] = (1, 2, 4, 8, 16, 60),
    *,
    learning_rate: float = 0.3,
    seeds: Sequence[int] = (0, 1, 2, 3),
    steps: int = 8000,
    examples: int = 60,
    width: int = 24,
    tolerance: float = 1e-3,
) -> TraceAgainstBatch:
    """Train by SGD with batches of each size at one learning rate, and ask what the minima allow.

    A tanh network with one output and more weights than examples, on the parity of digits with loss ½‖·‖²;
    each batch is drawn without replacement, anew at each step, as the theory has it.

    Parameters
    ----------
    batch_sizes : sequence of int
        From 1 to ``examples``, where SGD is gradient descent.
    learning_rate : float
        Of all runs.
    seeds : sequence of int
        One run for each seed and size; a seed has the same weights at the start for all sizes.
    steps : int
        Of each run.
    examples, width : int
        Of the digits, and hidden units.
    tolerance : float
        Loss up to which a run counts.

    Returns
    -------
    TraceAgainstBatch
        An interrupt (Ctrl-C) returns the runs that were done.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Notes
    -----
    Cost: a gradient of a batch a step, and :func:`~workbench.stability.linear_stability` of each minimum.
    Sources: Wu and Su, arXiv 2305.17490; Mulayoff and Michaeli, arXiv 2306.07850.
    """
    sizes = sorted(set(batch_sizes))
    check_count("number of batch sizes", len(sizes))
    check_count("number of seeds", len(seeds))
    check_count("steps", steps, low=1)
    for size in sizes:
        check_count("batch_size", size, 1, examples)
    if not 0 < learning_rate < math.inf:
        raise ValueError(f"learning_rate={learning_rate} is out of range: it must be positive and finite")
    found: dict[tuple[int, int], LinearStability] = {}
    interrupted = False
    try:
        with progress("minima of SGD", len(sizes) * len(seeds)) as advance:
            for place, size in enumerate(sizes):
                for run, seed in enumerate(seeds):
                    problem = parity_regression(examples, width, seed)
                    train_by_sgd(problem, learning_rate, size, steps, seed)
                    if math.isfinite(problem.loss_at()):
                        stability = linear_stability(problem, learning_rate, size, tolerance=tolerance)
                        found[place, run] = stability
                    advance(1, f"batch size {size}, seed {seed}")
    except KeyboardInterrupt:
        if not found:
            raise
        interrupted = True
    shape = len(sizes), len(seeds)
    loss, trace = np.full(shape, np.nan), np.full(shape, np.nan)
    shares = {name: np.full(shape, np.nan) for name in SHOWN}
    for where, stability in found.items():
        loss[where], trace[where] = stability.loss, stability.trace
        for name, values in shares.items():
            values[where] = learning_rate / stability.limits[name][0]
    return TraceAgainstBatch(
        learning_rate=float(learning_rate),
        batch_sizes=np.array(sizes),
        seeds=tuple(seeds),
        loss=loss,
        trace=trace,
        shares=shares,
        tolerance=tolerance,
        steps=steps,
        interrupted=interrupted,
    )
