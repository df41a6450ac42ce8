"""``Score``: loss and accuracy, or R², of a problem's data."""

import dataclasses
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from workbench.batches import count_examples, tensors
from workbench.colors import BLUE, ORANGE
from workbench.inspection.target_readings import TargetReading, are_zero_or_one, read_targets
from workbench.problem import Problem
from workbench.progress import progress
from workbench.result import Result, clopper_pearson, new_axes, standard_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BARS = 60  # classes that a picture has a bar for


@dataclasses.dataclass(frozen=True, repr=False)
class Score(Result):
    """Loss and metric over some data.

    Attributes
    ----------
    examples : int
    loss : float
        Exact for these data.
    loss_stderr : float
        As an estimate for other data: from the spread between batches, if examples came into them at random;
        nan for one batch.
    metric : str
        ``"accuracy"``, ``"R²"``, or empty if there is none.
    value, low, high : float
        The metric and its 95 % interval for data like these. Of one target per example it is Clopper and
        Pearson's; of several, the same for as many independent targets as would have the same error between
        examples, fewer with few examples (Korn and Graubard 1998). Of R², to first order over the examples.
    targets : int
        Targets that count, such as tokens.
    class_counts : ndarray (C,) of int
        Targets of each class; empty if they are none.
    left_out : dict of str to str
        What is not there, and why.
    """

    examples: int
    loss: float
    loss_stderr: float
    metric: str
    value: float
    low: float
    high: float
    targets: int
    class_counts: np.ndarray
    left_out: dict[str, str]

    @property
    def imbalance(self) -> float:
        """Targets of the most frequent class over those of the rarest; inf if one has none, nan without."""
        if not self.class_counts.any():
            return math.nan
        low = self.class_counts.min()
        return float(self.class_counts.max() / low) if low else math.inf

    @property
    def majority(self) -> float:
        """Accuracy of always naming the most frequent class; nan without classes."""
        counts = self.class_counts
        return float(counts.max() / counts.sum()) if counts.any() else math.nan

    def frame(self) -> pd.DataFrame:
        """One row per class; one for all if there are none."""
        table = pd.DataFrame({"class": range(len(self.class_counts)), "count": self.class_counts})
        if table.empty:
            table = pd.DataFrame({"class": [None], "count": [self.targets]})
        return table.assign(loss=self.loss, **{self.metric or "metric": self.value})

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Share of each class in the targets."""
        ax = new_axes(ax)
        draw_classes(ax, {"data": self})
        ax.set_title(self.summary().splitlines()[0], fontsize="small")
        return ax

    def summary(self) -> str:
        """Loss, metric with its interval, and the balance of the classes."""
        parts = [f"loss {self.loss:.4g}"]
        if self.metric == "accuracy":
            parts.append(f"accuracy {self.value:.2%} (95 %: {self.low:.2%} to {self.high:.2%})")
        elif self.metric:
            parts.append(f"{self.metric} {self.value:.4g} (95 %: {self.low:.4g} to {self.high:.4g})")
        lines = [", ".join(parts) + f", {self.examples:,} examples"]
        if self.class_counts.any():
            absent = int((self.class_counts == 0).sum())
            rarest = f"{absent} without a target" if absent else f"{self.imbalance:.3g} times the rarest"
            lines.append(f"{len(self.class_counts)} classes, the most frequent {self.majority:.1%}, {rarest}")
        return "\n".join([*lines, *(f"{what}: {reason}" for what, reason in self.left_out.items())])


def score(problem: Problem, first_outputs: Any) -> Score:
    """Measure loss and metric over a problem's data; one forward pass, and one over the targets.

    ``first_outputs`` are those of its first batch.
    """
    parameters = problem.parameters()
    first, _ = next(problem.batches())
    reading = read_targets(problem, first_outputs, first)
    tally, reason = _make_tally(problem, reading)
    losses: list[float] = []
    shares: list[float] = []
    examples = 0
    with torch.no_grad(), progress("loss and metric", problem.num_batches) as advance:
        for batch, share in problem.batches():
            outputs, loss = problem.evaluate(parameters, batch)
            losses.append(float(loss))
            shares.append(share)
            count = count_examples(batch)
            tally.add(outputs, problem.batch_targets(batch), count)
            examples += count
            advance(1)
    found = tally.result()
    if not found.metric:
        reason = reason or "no target counts, or all are the same"
    spread = math.nan if problem.weighting.sums else _spread(np.array(losses), np.array(shares))
    return Score(
        examples=examples,
        loss=float(np.dot(losses, shares)),
        loss_stderr=spread,
        left_out={"accuracy or R²": reason} if reason else {},
        **found._asdict(),
    )


def draw_classes(ax: "Axes", scores: dict[str, Score]) -> None:
    """Share of each class in the targets of each score; of many classes, from the most frequent on."""
    scores = {label: score for label, score in scores.items() if score.class_counts.any()}
    sort = any(len(score.class_counts) > _BARS for score in scores.values())
    for place, (label, score) in enumerate(scores.items()):
        shares = score.class_counts / score.class_counts.sum()
        color = (BLUE, ORANGE)[place % 2]
        if sort:
            ax.plot(np.arange(1, len(shares) + 1), np.sort(shares)[::-1], color=color, label=label)
            ax.set_xscale("log")
            continue
        width = 0.8 / len(scores)
        left = np.arange(len(shares)) + (place - (len(scores) - 1) / 2) * width
        ax.bar(left, shares, width, color=color, label=label)
    if not sort:
        ax.locator_params(axis="x", integer=True)
    ax.set_xlabel("classes, the most frequent first" if sort else "class")
    ax.set_ylabel("share of the targets")
    if len(scores) > 1:
        ax.legend(fontsize="small")


class _Metric(NamedTuple):
    """The fields of a score that a tally fills."""

    metric: str = ""
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    targets: int = 0
    class_counts: np.ndarray = np.zeros(0, dtype=int)


class _Tally:
    """Takes batches and knows no metric; subclasses do."""

    def add(self, outputs: Any, targets: Any, examples: int) -> None:
        """Take the outputs and targets of a batch."""

    def result(self) -> _Metric:
        """The metric of what was taken."""
        return _Metric()


class _Accuracy(_Tally):
    """Hits and targets that count, example by example, and how many there are of each class."""

    def __init__(self, reading: TargetReading) -> None:
        self._reading = reading
        self._hits: list[Tensor] = []
        self._kept: list[Tensor] = []
        self._counts = torch.zeros(reading.classes, dtype=torch.long)

    def add(self, outputs: Any, targets: Any, examples: int) -> None:
        kept = self._reading.kept(targets)
        hits = self._reading.hits(outputs, targets) & kept
        rows = examples if kept.numel() % examples == 0 else kept.numel()
        self._hits.append(hits.reshape(rows, -1).sum(dim=1).cpu())
        self._kept.append(kept.reshape(rows, -1).sum(dim=1).cpu())
        self._counts += torch.bincount(targets[kept].long(), minlength=len(self._counts)).cpu()

    def result(self) -> _Metric:
        hits, kept = (torch.cat(each).double().numpy() for each in (self._hits, self._kept))
        counts = self._counts.numpy()
        if not kept.any():
            return _Metric(class_counts=counts)
        low, high = _cluster_interval(hits[kept > 0], kept[kept > 0])
        return _Metric("accuracy", float(hits.sum() / kept.sum()), low, high, int(kept.sum()), counts)


class _Explained(_Tally):
    """R²: how far the outputs explain the targets, column by column about their means."""

    def __init__(self, mean: Tensor) -> None:
        self._mean = mean
        self._errors: list[Tensor] = []
        self._spreads: list[Tensor] = []
        self._targets = 0

    def add(self, outputs: Any, targets: Any, examples: int) -> None:
        (values,) = tensors(outputs)
        targets = targets.double()
        self._targets += targets.numel()
        values = values.reshape(targets.shape).double()
        for known, other in ((self._errors, values), (self._spreads, self._mean)):
            known.append((targets - other).square().reshape(len(targets), -1).sum(dim=1).cpu())

    def result(self) -> _Metric:
        errors, spreads = (torch.cat(each).numpy() for each in (self._errors, self._spreads))
        if not spreads.any():
            return _Metric(targets=self._targets)
        error, spread = errors.mean(), spreads.mean()
        # How much one example moves 1 - error / spread, to first order.
        moved = (spreads - spread) * error / spread**2 - (errors - error) / spread
        half = 1.96 * float(standard_error(moved))
        value = float(1 - error / spread)
        return _Metric("R²", value, value - half, min(value + half, 1.0), self._targets)


def _make_tally(problem: Problem, reading: TargetReading) -> tuple[_Tally, str]:
    """What counts the metric, and why there is none."""
    if reading.kind == "bits" and not all(
        are_zero_or_one(problem.batch_targets(batch)) for batch, _ in problem.batches()
    ):
        return _Tally(), "the targets are 0 or 1 in the first batch, and something else in another"
    if reading.kind in ("classes", "bits"):
        return _Accuracy(reading), ""
    if reading.kind != "values":
        return _Tally(), reading.reason
    total, count = None, 0
    for batch, _ in problem.batches():
        targets = problem.batch_targets(batch).double()
        if total is not None and total.shape != targets.shape[1:]:
            return _Tally(), "the targets have different shapes from batch to batch"
        total = targets.sum(dim=0) if total is None else total + targets.sum(dim=0)
        count += len(targets)
    assert total is not None  # a problem has a batch
    return _Explained(total / count), ""


def _cluster_interval(hits: np.ndarray, kept: np.ndarray) -> tuple[float, float]:
    """95 % interval of a share whose targets come in examples, of ``kept`` (n,) targets each."""
    value, total = hits.sum() / kept.sum(), kept.sum()
    alike = total
    if total > len(kept):
        error = standard_error(hits - value * kept) * len(kept) / total
        alike = value * (1 - value) / error**2 if error > 0 else 0.0
        least = total**2 / np.square(kept).sum()  # if all targets of an example are hit, or none
        alike = min(max(alike, least), total) * _less_for_few(len(kept))
    low, high = clopper_pearson(value * alike, alike)
    return float(low), float(high)


def _less_for_few(examples: int) -> float:
    """Korn and Graubard's factor, by which an error that few examples tell counts as fewer targets."""
    from scipy.stats import norm, t

    return float((norm.ppf(0.975) / t.ppf(0.975, max(examples - 1, 1))) ** 2)


def _spread(losses: np.ndarray, shares: np.ndarray) -> float:
    """Standard error of a mean of batches, of their shares, from how they differ."""
    count = len(losses)
    if count < 2:
        return math.nan
    return float(np.sqrt(np.square(shares * (losses - losses @ shares)).sum() * count / (count - 1)))
