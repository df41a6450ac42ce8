"""``batch_radius_gap``: how much farther the radius of a minibatch reaches than that of all the data."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from workbench.choices import check_choice, check_count
from workbench.colors import BLUE, ORANGE, SKY
from workbench.problem import Problem
from workbench.problems.datasets import Dataset
from workbench.progress import Advance, progress
from workbench.random_vectors import generator
from workbench.result import Result, new_axes
from workbench.stability.experiments.digits_training import problem_of, train_steps
from workbench.stability.experiments.log_means import log_mean
from workbench.stability.experiments.networks import NETWORKS, build_network, digits
from workbench.stability.radii import logit_radius, minimum_radius
from workbench.stability.slopes import logits_and_slopes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_KINDS = ("spread", "majority", "exact")
_COLORS = dict(zip(_KINDS, (SKY, BLUE, "black"), strict=True))
_RATE, _TRAINING_BATCH = 0.01, 64  # of Adam, before the gap is measured


@dataclasses.dataclass(frozen=True, repr=False)
class BatchRadiusGap(Result):
    """Radius of a minibatch over that of all the data, both along the minibatch's own gradient.

    Attributes
    ----------
    network : str
        What was trained.
    steps : tuple of int (stages,)
        Of training before the gap was measured.
    seed : ndarray (seeds,) of int
        Of the split, the weights and the batches.
    size : ndarray (sizes,) of int
        Examples of a minibatch.
    kind : tuple of str (3,)
        Of the radius.
    ratio : ndarray (stages, seeds, sizes, batches, 3)
        The radius of the minibatch over that of all training examples; at least 1.
    examples : int
        All training examples.
    interrupted : bool
        Whether seeds are missing.
    """

    network: str
    steps: tuple[int, ...]
    seed: np.ndarray
    size: np.ndarray
    kind: tuple[str, ...]
    ratio: np.ndarray
    examples: int
    interrupted: bool = False

    def frame(self) -> pd.DataFrame:
        """One row per stage, seed, size, batch and kind."""
        stage, run, size, batch, kind = (each.ravel() for each in np.indices(self.ratio.shape))
        return pd.DataFrame(
            {
                "steps": np.array(self.steps)[stage],
                "seed": self.seed[run],
                "size": self.size[size],
                "batch": batch,
                "kind": np.array(self.kind)[kind],
                "ratio": self.ratio.ravel(),
            }
        )

    def by_size(self) -> pd.DataFrame:
        """One row per stage, kind and size: the gap with its 95% interval over the seeds.

        The mean is geometric, over the batches of each seed first and then over the seeds (Student's t).
        ``largest`` is that of any batch.
        """
        rows = []
        for stage, steps in enumerate(self.steps):
            for kind, name in enumerate(self.kind):
                for place, size in enumerate(self.size):
                    ratios = self.ratio[stage, :, place, :, kind]
                    mean = log_mean(np.exp(np.log(ratios).mean(1)))
                    rows.append(
                        {
                            "steps": steps,
                            "kind": name,
                            "size": int(size),
                            "seeds": mean.used,
                            "gap": mean.mean,
                            "gap_low": mean.low,
                            "gap_high": mean.high,
                            "largest": ratios.max(),
                        }
                    )
        return pd.DataFrame(rows)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Mean gap with its 95% interval against the batch size, and the largest as triangles."""
        ax = new_axes(ax)
        styles = ("-", "--", ":", "-.")
        table = self.by_size()
        lines = table.groupby(["steps", "kind"], sort=False)
        aside = np.geomspace(0.9, 1.1, lines.ngroups)  # or intervals would lie upon each other
        for place, (names, rows) in enumerate(lines):
            steps, kind = int(str(names[0])), str(names[1])
            spread = np.array([rows["gap"] - rows["gap_low"], rows["gap_high"] - rows["gap"]])
            style = styles[self.steps.index(steps) % len(styles)]
            ax.errorbar(rows["size"] * aside[place], rows["gap"], spread, color=_COLORS[kind],
                        linestyle=style, marker=".", capsize=2,
                        label=f"{kind}, after {steps} steps")  # fmt: skip
            ax.plot(rows["size"] * aside[place], rows["largest"], "^", color=_COLORS[kind], alpha=0.4)
        ax.axhline(1, color=ORANGE, linewidth=1, zorder=0)
        ax.set_xscale("log")
        ax.set_ylim(0.9, 1.05 * table["largest"].max())  # intervals of two seeds would go far beyond
        ax.set_xlabel("examples in the minibatch")
        ax.set_ylabel("its radius / that of all data (95% interval, largest)")
        ax.set_title(self.summary().splitlines()[0], fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """Gap at the smallest and the largest batch size, and what was spent."""
        batches = self.ratio.shape[3]
        note = ", INTERRUPTED" if self.interrupted else ""
        lines = [
            f"{self.network}, {len(self.seed)} seeds, {batches} minibatches of each size out of "
            f"{self.examples} examples{note}"
        ]
        table = self.by_size()
        for row in table[table["size"].isin([self.size.min(), self.size.max()])].itertuples(index=False):
            span = f" [{row.gap_low:.3g}, {row.gap_high:.3g}]" if len(self.seed) > 1 else ""
            lines.append(
                f"after {row.steps} steps, {row.kind}, {row.size} examples: ×{row.gap:.3g}{span}, "
                f"at most ×{row.largest:.3g}"
            )
        passes = batches * len(self.size) * len(self.seed) * len(self.steps)
        lines.append(f"{passes} gradients of a minibatch and as many forward-mode passes over all data")
        return "\n".join(lines)


def batch_radius_gap(
    network: str = "mlp",
    *,
    sizes: Sequence[int] = (8, 64, 512),
    steps: Sequence[int] = (30, 300),
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    batches: int = 10,
) -> BatchRadiusGap:
    """Compare radii along gradients of minibatches: of the minibatch's examples, and of all examples.

    A controller that knows its minibatch alone caps a step at the first; the second, never larger, is where
    the loss over all the data stops being its Taylor series.

    Parameters
    ----------
    network : str
        One of ``NETWORKS``, trained by Adam with rate 0.01 in batches of 64.
    sizes : sequence of int
        Examples of a minibatch, drawn without replacement.
    steps : sequence of int
        Of training, ascending: when the gap is measured.
    seeds : sequence of int
        One training each.
    batches : int
        Minibatches of each size, for each seed and stage.

    Returns
    -------
    BatchRadiusGap
        An interrupt (Ctrl-C) returns the seeds that were done.

    Raises
    ------
    ValueError
        If a name is unknown or a number out of range.

    Notes
    -----
    Cost: for each minibatch its gradient and a forward-mode pass over all training examples, and exact radii
    of the examples that can have the least. Networks are in eval mode when measured.
    Source: Sao, "Ghosts of softmax", arXiv:2603.13552, Def. 4.7, says that a minibatch is less conservative;
    how much less is measured here.
    """
    check_choice("network", network, list(NETWORKS))
    check_count("number of seeds", len(seeds))
    check_count("number of sizes", len(sizes))
    check_count("batches", batches)
    if not len(steps) or list(steps) != sorted(set(steps)) or steps[0] < 0:
        raise ValueError(f"steps={list(steps)}: pass at least one, ascending from 0 on")
    total = len(digits(0).train[0])
    for size in sizes:
        check_count("size", size, high=total)
    found: list[np.ndarray] = []
    interrupted = False
    try:
        with progress("batch radii", len(seeds) * len(steps) * len(sizes)) as advance:
            for seed in seeds:
                found.append(_stages(network, seed, sizes, steps, batches, advance))
    except KeyboardInterrupt:
        if not found:
            raise
        interrupted = True
    return BatchRadiusGap(
        network=network,
        steps=tuple(steps),
        seed=np.array(seeds[: len(found)]),
        size=np.array(sizes),
        kind=_KINDS,
        ratio=np.stack(found, axis=1),
        examples=total,
        interrupted=interrupted,
    )


def _stages(
    network: str, seed: int, sizes: Sequence[int], steps: Sequence[int], batches: int, advance: Advance
) -> np.ndarray:
    """Gaps (stages, sizes, batches, 3) of one training, which goes on from stage to stage."""
    data = digits(seed)
    model = build_network(network, seed)
    training = train_steps(model, data, rate=_RATE, batch_size=_TRAINING_BATCH, seed=seed)
    source = generator(seed)
    found = np.empty((len(steps), len(sizes), batches, len(_KINDS)))
    done = 0
    for stage, until in enumerate(steps):
        model.train()
        for _ in range(until - done):
            next(training)
        done = until
        whole = problem_of(model, data, len(data.train[0]))
        for place, size in enumerate(sizes):
            for number in range(batches):
                chosen = torch.randperm(len(data.train[0]), generator=source)[:size]
                found[stage, place, number] = _gap(whole, data, chosen)
            advance(1, f"{size} examples after {until} steps")
    return found


def _gap(whole: Problem, data: Dataset, chosen: Tensor) -> np.ndarray:
    """Radii (3,) of the chosen examples over those of all, along the gradient of the chosen."""
    inputs, targets = data.train
    gradient = Problem(whole.model, nn.CrossEntropyLoss(), (inputs[chosen], targets[chosen])).gradient()
    ((logits, slopes),) = logits_and_slopes(whole, gradient / gradient.norm())
    return _radii(logits[chosen], slopes[chosen]) / _radii(logits, slopes)


def _radii(logits: Tensor, slopes: Tensor) -> np.ndarray:
    bounds = [logit_radius(logits, slopes, kind).minimum for kind in _KINDS[:2]]
    return np.array([*bounds, minimum_radius(logits, slopes).radius])
