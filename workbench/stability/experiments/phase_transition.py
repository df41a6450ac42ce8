"""``phase_transition``: at which multiple of the Taylor radius one step along the gradient stops holding."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from workbench.choices import check_choice, check_count
from workbench.colors import BLUE, GREEN, ORANGE, SKY, VERMILION
from workbench.progress import progress
from workbench.result import Result, new_axes
from workbench.stability.experiments.line_walk import (
    DOUBLED,
    HALVED,
    Descent,
    descend,
    log_grid,
    onset,
    radii_columns,
    unit_gradient,
)
from workbench.stability.experiments.log_means import Mean, log_mean
from workbench.stability.experiments.networks import NETWORKS, trained_problem

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLORS = dict(zip(NETWORKS, (BLUE, VERMILION, GREEN, SKY, ORANGE, "0.4"), strict=True))


class _Run(NamedTuple):
    network: str
    seed: int
    descent: Descent


@dataclasses.dataclass(frozen=True, repr=False)
class PhaseTransition(Result):
    """One step down the gradient from each of some trained networks, over its length.

    Attributes
    ----------
    network : tuple of str (runs,)
        What was trained.
    seed : ndarray (runs,) of int
        Of the split, the weights and the batches.
    ratio : ndarray (points,)
        Lengths of the step, each over the run's own ``spread`` radius.
    loss_ratio, accuracy : ndarray (runs, points)
        Loss after the step over that before, and the share of examples classified right after it.
    start_loss, start_accuracy : ndarray (runs,)
        Before the step.
    spread, majority, exact : ndarray (runs,)
        Radii along the gradient.
    certified : ndarray (runs,) of bool
        Whether the exact one is.
    epochs : int
        Of each training.
    interrupted : bool
        Whether runs are missing.
    """

    network: tuple[str, ...]
    seed: np.ndarray
    ratio: np.ndarray
    loss_ratio: np.ndarray
    accuracy: np.ndarray
    start_loss: np.ndarray
    start_accuracy: np.ndarray
    spread: np.ndarray
    majority: np.ndarray
    exact: np.ndarray
    certified: np.ndarray
    epochs: int
    interrupted: bool = False

    def onsets(self) -> pd.DataFrame:
        """One row per run: where the loss has doubled and the accuracy halved, in each radius.

        inf where that did not happen up to the longest step.
        """
        rows = []
        for run, network in enumerate(self.network):
            loss = onset(self.ratio, self.loss_ratio[run], DOUBLED)
            lost = 1 - self.accuracy[run] / self.start_accuracy[run]
            within = self.ratio < 1
            rows.append(
                {
                    "network": network,
                    "seed": int(self.seed[run]),
                    "loss_onset": loss,
                    "loss_onset_majority": loss * self.spread[run] / self.majority[run],
                    "loss_onset_exact": loss * self.spread[run] / self.exact[run],
                    "accuracy_onset": onset(self.ratio, lost, 1 - HALVED),
                    "largest_loss_ratio_within": self.loss_ratio[run, within].max(initial=0.0),
                    "accuracy_lost_within": self.start_accuracy[run]
                    - self.accuracy[run, within].min(initial=1),
                }
            )
        return pd.DataFrame(rows)

    def by_network(self) -> pd.DataFrame:
        """One row per network: mean onsets over the seeds with 95% intervals, and the worst within r = 1.

        Means and intervals (Student's t) are of the logarithm, over the runs that have an onset; ``reached``
        counts those.
        """
        rows = []
        for network, runs in self.onsets().groupby("network", sort=False):
            loss, exact, right = (
                log_mean(runs[name].to_numpy())
                for name in ("loss_onset", "loss_onset_exact", "accuracy_onset")
            )
            rows.append(
                {"network": network, "seeds": len(runs)}
                | _columns("loss_onset", loss)
                | _columns("loss_onset_exact", exact)
                | _columns("accuracy_onset", right)
                | {
                    "largest_loss_ratio_within": runs["largest_loss_ratio_within"].max(),
                    "accuracy_lost_within": runs["accuracy_lost_within"].max(),
                }
            )
        return pd.DataFrame(rows)

    def frame(self) -> pd.DataFrame:
        """One row per run and length."""
        runs, points = self.loss_ratio.shape
        return pd.DataFrame(
            {
                "network": np.repeat(self.network, points),
                "seed": np.repeat(self.seed, points),
                "ratio": np.tile(self.ratio, runs),
                "loss_ratio": self.loss_ratio.ravel(),
                "accuracy": self.accuracy.ravel(),
            }
        )

    def plot(self, ax: "Axes | None" = None, quantity: str = "accuracy") -> "Axes":
        """Draw ``"accuracy"`` or ``"loss_ratio"`` against the length over the radius, a line for each run."""
        check_choice("quantity", quantity, ("accuracy", "loss_ratio"))
        ax = new_axes(ax)
        values = self.accuracy if quantity == "accuracy" else self.loss_ratio
        for run, network in enumerate(self.network):
            first = self.network.index(network) == run
            ax.plot(self.ratio, values[run], color=_COLORS[network], linewidth=1.2, alpha=0.8,
                    label=network if first else None)  # fmt: skip
        ax.axvline(1, color="black", linestyle="--", linewidth=1, label="r = 1")
        ax.set_xscale("log")
        if quantity == "loss_ratio":
            ax.set_yscale("log")
            ax.axhline(DOUBLED, color="0.7", linewidth=0.8, zorder=0)
        ax.set_xlabel("r = length of the step / ρₐ")
        ax.set_ylabel("accuracy after the step" if quantity == "accuracy" else "loss after / loss before")
        ax.set_title(self._describe(), fontsize="small")
        ax.legend(fontsize="x-small")
        return ax

    def summary(self) -> str:
        """Smallest and largest onset, what was lost within r = 1, and the cost."""
        onsets = self.onsets()
        parts = [self._describe()]
        for name, words in (("loss_onset", "loss doubled"), ("accuracy_onset", "accuracy halved")):
            known = onsets[name][np.isfinite(onsets[name])]
            never = len(onsets) - len(known)
            span = f"r = {known.min():.3g} to {known.max():.3g}" if len(known) else "never"
            parts.append(
                f"{words} at {span}" + (f" ({never} runs never up to {self.ratio[-1]:g})" if never else "")
            )
        parts.append(
            f"within r < 1: loss at most ×{onsets['largest_loss_ratio_within'].max():.3g}, "
            f"accuracy at most {onsets['accuracy_lost_within'].max():.2%} lower"
        )
        parts.append(
            f"{len(self.ratio)} forward passes over the data for each run, after {self.epochs} epochs"
        )
        return "\n".join(parts)

    def _describe(self) -> str:
        networks = len(set(self.network))
        note = ", INTERRUPTED" if self.interrupted else ""
        return f"one step down the gradient: {networks} networks, {len(self.seed)} runs{note}"


def phase_transition(
    networks: Sequence[str] = tuple(NETWORKS),
    *,
    seeds: Sequence[int] = (0, 1, 2),
    points: int = 41,
    epochs: int = 20,
) -> PhaseTransition:
    """Take one step down the gradient of all training examples, from 0.01 to 100 radii long.

    Parameters
    ----------
    networks : sequence of str
        Names of ``NETWORKS``.
    seeds : sequence of int
        One training each, of every network.
    points : int
        Lengths of the step, at least 5, equally far apart in their logarithm.
    epochs : int
        Of each training.

    Returns
    -------
    PhaseTransition
        An interrupt (Ctrl-C) returns the runs that were done.

    Raises
    ------
    ValueError
        If a name is unknown or a number out of range.

    Notes
    -----
    Cost: a training for each run unless it is in the cache, a gradient, a forward-mode pass, and a forward
    pass for each length. Networks are in eval mode throughout.

    Source: Sao, "Ghosts of softmax", arXiv:2603.13552, the experiment with six architectures; trainings and
    thresholds are ours.
    """
    if isinstance(networks, str) or not len(networks):
        raise ValueError(f"networks={networks!r}: pass a list of at least one")
    for network in networks:
        check_choice("network", network, list(NETWORKS))
    check_count("number of seeds", len(seeds))
    check_count("epochs", epochs, low=1)
    ratio = log_grid(points)
    runs: list[_Run] = []
    interrupted = False
    try:
        with progress("phase transition", len(networks) * len(seeds)) as advance:
            for network, seed in itertools.product(networks, seeds):
                problem = trained_problem(network, seed, epochs)
                runs.append(_Run(network, seed, descend(problem, unit_gradient(problem), ratio)))
                advance(1, network)
    except KeyboardInterrupt:
        if not runs:
            raise
        interrupted = True
    return PhaseTransition(
        network=tuple(run.network for run in runs),
        seed=np.array([run.seed for run in runs]),
        ratio=ratio,
        loss_ratio=np.array([run.descent.walk.loss_ratio for run in runs]),
        accuracy=np.array([run.descent.walk.accuracy for run in runs]),
        start_loss=np.array([run.descent.walk.start_loss for run in runs]),
        start_accuracy=np.array([run.descent.walk.start_accuracy for run in runs]),
        certified=np.array([run.descent.radii.certified for run in runs]),
        epochs=epochs,
        interrupted=interrupted,
        **radii_columns(run.descent for run in runs),
    )


def _columns(name: str, mean: Mean) -> dict[str, float | int]:
    return {
        name: mean.mean,
        f"{name}_low": mean.low,
        f"{name}_high": mean.high,
        f"{name}_reached": mean.used,
    }
