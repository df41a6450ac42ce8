"""``random_directions``: whether the radius tells where steps in any direction stop holding."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from workbench.choices import check_choice, check_count
from workbench.colors import BLUE, GREEN, VERMILION
from workbench.curvature import hessian
from workbench.problem import Problem
from workbench.progress import progress
from workbench.random_vectors import generator, random_vectors
from workbench.result import Result, new_axes
from workbench.stability.experiments.digits_training import problem_of, train_steps
from workbench.stability.experiments.line_walk import (
    DOUBLED,
    Descent,
    descend,
    log_grid,
    onset,
    radii_columns,
    unit_gradient,
)
from workbench.stability.experiments.log_means import log_mean
from workbench.stability.experiments.networks import digits

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FLIPPED = 0.05  # share of decisions that have changed
_COLORS = (VERMILION, GREEN, BLUE)


class _Line(NamedTuple):
    stage: int
    seed: int
    kind: str
    descent: Descent
    curvature: float


@dataclasses.dataclass(frozen=True, repr=False)
class RandomDirections(Result):
    """Steps along the gradient and along random unit vectors, at stages of a training.

    Attributes
    ----------
    stage : ndarray (lines,) of int
        Steps of training before.
    seed : ndarray (lines,) of int
        Of the split, the weights, the batches and the directions.
    kind : tuple of str (lines,)
        ``"gradient"`` or ``"random"``.
    ratio : ndarray (points,)
        Lengths of the step, each over the line's own ``spread`` radius.
    loss_ratio, flips : ndarray (lines, points)
        Loss over that at the start, and share of examples whose decision has changed.
    start_accuracy : ndarray (lines,)
        Accuracy at the start, over the same examples.
    spread, majority, exact : ndarray (lines,)
        Radii along the line.
    curvature : ndarray (lines,)
        v'Hv.
    interrupted : bool
        Whether lines are missing.
    """

    stage: np.ndarray
    seed: np.ndarray
    kind: tuple[str, ...]
    ratio: np.ndarray
    loss_ratio: np.ndarray
    flips: np.ndarray
    start_accuracy: np.ndarray
    spread: np.ndarray
    majority: np.ndarray
    exact: np.ndarray
    curvature: np.ndarray
    interrupted: bool = False

    @property
    def inverse_curvature(self) -> np.ndarray:
        """2/(v'Hv) of each line, inf where the curvature is not positive."""
        positive = self.curvature > 0
        return np.where(positive, 2 / np.where(positive, self.curvature, 1), np.inf)

    def onsets(self) -> pd.DataFrame:
        """One row per line: where the loss has doubled and 5% of the decisions have changed, in ρₐ."""
        lines = range(len(self.stage))
        loss = np.array([onset(self.ratio, self.loss_ratio[line], DOUBLED) for line in lines])
        return pd.DataFrame(
            {
                "stage": self.stage,
                "seed": self.seed,
                "kind": self.kind,
                "accuracy": self.start_accuracy,
                "loss_onset": loss,
                "loss_onset_exact": loss * self.spread / self.exact,
                "flip_onset": [onset(self.ratio, self.flips[line], FLIPPED) for line in lines],
                "inverse_curvature": self.inverse_curvature / self.spread,
            }
        )

    def by_stage(self) -> pd.DataFrame:
        """One row per stage and kind: geometric means of the onsets and of 2/(v'Hv), in ρₐ.

        Intervals of 95% are over seeds, of each seed's own mean over its directions; of one seed they are
        nan. ``below`` counts the lines whose ρₐ is below 2/(v'Hv), that is inf where the line does not curve
        up.
        """
        rows = []
        for (stage, kind), lines in self.onsets().groupby(["stage", "kind"], sort=False):
            row: dict[str, object] = {"stage": stage, "kind": kind, "lines": len(lines)}
            row["accuracy"] = lines["accuracy"].mean()
            for name in ("loss_onset", "loss_onset_exact", "flip_onset", "inverse_curvature"):
                seeds = lines.groupby("seed")[name].agg(lambda values: log_mean(values.to_numpy()).mean)
                mean = log_mean(seeds.to_numpy())
                row |= {name: mean.mean, f"{name}_low": mean.low, f"{name}_high": mean.high}
                row[f"{name}_finite"] = int(np.isfinite(lines[name]).sum())
            row["below"] = int((lines["inverse_curvature"] > 1).sum())
            rows.append(row)
        return pd.DataFrame(rows)

    def frame(self) -> pd.DataFrame:
        """One row per line and length."""
        lines, points = self.loss_ratio.shape
        return pd.DataFrame(
            {
                "stage": np.repeat(self.stage, points),
                "seed": np.repeat(self.seed, points),
                "line": np.repeat(np.arange(lines), points),
                "kind": np.repeat(self.kind, points),
                "ratio": np.tile(self.ratio, lines),
                "loss_ratio": self.loss_ratio.ravel(),
                "flips": self.flips.ravel(),
            }
        )

    def plot(self, ax: "Axes | None" = None, quantity: str = "flips") -> "Axes":
        """Draw ``"flips"`` or ``"loss_ratio"`` against r: the gradient dashed, random directions thin."""
        check_choice("quantity", quantity, ("flips", "loss_ratio"))
        ax = new_axes(ax)
        values = self.flips if quantity == "flips" else self.loss_ratio
        stages = list(dict.fromkeys(self.stage.tolist()))
        labelled: set[int] = set()
        for line, kind in enumerate(self.kind):
            stage = int(self.stage[line])
            style: dict[str, Any] = {"linewidth": 0.7, "alpha": 0.4}
            if kind == "gradient":
                style = {"linewidth": 1.8, "linestyle": "--"}
                if stage not in labelled:
                    style["label"] = f"after {stage} steps, accuracy {self.start_accuracy[line]:.0%}"
                labelled.add(stage)
            ax.plot(self.ratio, values[line], color=_COLORS[stages.index(stage) % len(_COLORS)], **style)
        ax.axvline(1, color="black", linestyle="--", linewidth=1)
        ax.set_xscale("log")
        if quantity == "loss_ratio":
            ax.set_yscale("log")
        ax.set_xlabel("r = distance / ρₐ")
        ax.set_ylabel("share of decisions changed" if quantity == "flips" else "loss / loss at the start")
        ax.set_title(f"{self._describe()}; gradient dashed", fontsize="small")
        ax.legend(fontsize="x-small")
        return ax

    def summary(self) -> str:
        """Onsets and 2/(v'Hv) of the random directions at each stage, and the cost."""
        lines = [self._describe()]
        for row in self.by_stage().itertuples(index=False):
            lines.append(
                f"after {row.stage} steps, {row.kind}: loss doubled at r = {row.loss_onset:.3g} "
                f"[{row.loss_onset_low:.3g}, {row.loss_onset_high:.3g}], {FLIPPED:.0%} of decisions changed "
                f"at {row.flip_onset:.3g} [{row.flip_onset_low:.3g}, {row.flip_onset_high:.3g}]; "
                f"2/(vᵀHv) = {row.inverse_curvature:.3g} ρₐ, above ρₐ on {row.below} of {row.lines} lines"
            )
        lines.append(
            f"[95% interval over seeds]; {len(self.ratio)} forward passes, a forward-mode pass and a Hessian "
            "product for each line"
        )
        return "\n".join(lines)

    def _describe(self) -> str:
        note = ", INTERRUPTED" if self.interrupted else ""
        stages, seeds = len(set(self.stage.tolist())), len(set(self.seed.tolist()))
        return f"{len(self.stage)} lines from {stages} stages of training, {seeds} seeds{note}"


def random_directions(
    stages: Sequence[int] = (10, 30, 300),
    *,
    seeds: Sequence[int] = (0, 1, 2),
    directions: int = 20,
    points: int = 41,
    examples: int = 1437,
) -> RandomDirections:
    """Step along the gradient and random unit vectors of all parameters, early and late in a training.

    A perceptron with one hidden layer of 128 units, LayerNorm and GELU, trained by Adam at 0.003 in batches
    of 128.

    Parameters
    ----------
    stages : sequence of int
        Numbers of training steps, ascending.
    seeds : sequence of int
        One training each.
    directions : int
        Random ones, at each stage.
    points : int
        Lengths of the step, at least 5, from 0.01 to 100 radii, equally far apart in their logarithm.
    examples : int
        Of the training split, on which everything is measured.

    Returns
    -------
    RandomDirections
        An interrupt (Ctrl-C) returns the lines that were done.

    Raises
    ------
    ValueError
        If a number is out of range or stages do not ascend.

    Notes
    -----
    Cost: for each line a forward-mode pass, a Hessian product and a forward pass for each length.

    Source: Sao, "Ghosts of softmax", arXiv:2603.13552, whose stages have accuracies of 73, 91 and 94%; the
    training and the threshold of 5% are ours.
    """
    check_count("number of stages", len(stages))
    check_count("number of seeds", len(seeds))
    check_count("directions", directions, low=0)
    check_count("examples", examples, low=10, high=1437)
    if list(stages) != sorted(set(stages)) or stages[0] < 0:
        raise ValueError(f"stages={list(stages)!r} must be numbers of steps that ascend")
    ratio = log_grid(points)
    found: list[_Line] = []
    interrupted = False
    total = len(stages) * len(seeds) * (1 + directions)
    try:
        with progress("random directions", total) as advance:
            for seed in seeds:
                for stage, problem in _stages(seed, stages, examples):
                    for kind, unit in _directions(problem, directions, seed):
                        product = hessian(problem, check=False) @ unit
                        curvature = float(unit.double() @ product.double())
                        descent = descend(problem, unit, ratio)
                        found.append(_Line(stage, seed, kind, descent, curvature))
                        advance(1, f"after {stage} steps")
    except KeyboardInterrupt:
        if not found:
            raise
        interrupted = True
    return RandomDirections(
        stage=np.array([line.stage for line in found]),
        seed=np.array([line.seed for line in found]),
        kind=tuple(line.kind for line in found),
        ratio=ratio,
        loss_ratio=np.array([line.descent.walk.loss_ratio for line in found]),
        flips=np.array([line.descent.walk.flips for line in found]),
        start_accuracy=np.array([line.descent.walk.start_accuracy for line in found]),
        curvature=np.array([line.curvature for line in found]),
        interrupted=interrupted,
        **radii_columns(line.descent for line in found),
    )


def _stages(seed: int, stages: Sequence[int], examples: int) -> Iterator[tuple[int, Problem]]:
    """The network after each number of steps; it is trained on, in place, when the next is asked for."""
    data = digits(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(64, 128), nn.LayerNorm(128), nn.GELU(), nn.Linear(128, 10))
    training = train_steps(model, data, rate=3e-3, batch_size=128, seed=seed)
    done = 0
    for stage in stages:
        for _ in range(stage - done):
            next(training)
        done = stage
        yield stage, problem_of(model, data, examples)


def _directions(problem: Problem, count: int, seed: int) -> Iterator[tuple[str, Tensor]]:
    gradient = unit_gradient(problem)
    yield "gradient", gradient
    for vector in random_vectors(count, problem.num_parameters, generator(seed)):
        yield "random", (vector / vector.norm()).to(gradient.dtype)
