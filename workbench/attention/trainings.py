"""``compare_attention``: the same transformer with several kinds of attention, trained alike."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from workbench.attention.entropy import COLORS
from workbench.choices import check_choice, check_count
from workbench.problems import load_problem
from workbench.problems.transformer import ATTENTION_KINDS
from workbench.progress import progress
from workbench.result import Result, new_axes, student_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TASKS = ("digits-transformer", "text-gpt")
MEASURES = ("train_loss", "test_loss", "test_accuracy")


@dataclasses.dataclass(frozen=True, repr=False)
class AttentionContest(Result):
    """Trainings of one network with several kinds of attention.

    Attributes
    ----------
    task : str
        ``"digits-transformer"`` or ``"text-gpt"``.
    kinds : tuple of str
        Of attention; the first is what the others are compared with.
    parameters : tuple of int
        Of the network with each.
    values : ndarray (measures, kinds, seeds)
        Loss on the training split, loss and accuracy on the held-out split.
    epochs, width, blocks : int
        Passes over the training split, channels of a token, and blocks.
    interrupted : bool
        Whether there are fewer seeds than were asked for.
    """

    task: str
    kinds: tuple[str, ...]
    parameters: tuple[int, ...]
    values: np.ndarray
    epochs: int
    width: int
    blocks: int
    interrupted: bool = False

    @property
    def seeds(self) -> int:
        """Number of seeds, each of them one start and one order of the batches for every kind."""
        return self.values.shape[-1]

    def mean(self, kind: str, measure: str = "test_loss") -> tuple[float, float]:
        """Mean over the seeds, and half the width of its 95 % interval (Student's; nan for one seed)."""
        return student_interval(self._of(kind, measure))

    def difference(self, kind: str, measure: str = "test_loss") -> tuple[float, float]:
        """Mean difference to the first kind, seed by seed, and half the width of its 95 % interval."""
        return student_interval(self._of(kind, measure) - self._of(self.kinds[0], measure))

    def frame(self) -> pd.DataFrame:
        """One row per kind: means with half the widths of their 95 % intervals, differences to the first."""
        rows = []
        for kind, parameters in zip(self.kinds, self.parameters, strict=True):
            row: dict[str, object] = {"kind": kind, "parameters": parameters, "seeds": self.seeds}
            for measure in MEASURES:
                row[measure], row[f"{measure}_ci"] = self.mean(kind, measure)
            row["test_loss_difference"], row["test_loss_difference_ci"] = self.difference(kind)
            rows.append(row)
        return pd.DataFrame(rows)

    def plot(self, ax: "Axes | None" = None, measure: str = "test_loss") -> "Axes":
        """Every training as a point, with means and 95 % intervals."""
        ax = new_axes(ax)
        for place, kind in enumerate(self.kinds):
            values = self._of(kind, measure)
            mean, half = student_interval(values)
            ax.plot(np.full(len(values), place), values, ".", color=COLORS[kind], alpha=0.5)
            ax.errorbar(place, mean, half, fmt="o", color=COLORS[kind], capsize=4)
        ax.set_xticks(range(len(self.kinds)), self.kinds)
        ax.set_ylabel(measure.replace("test", "held-out").replace("_", " "))
        ax.set_title(
            f"{self.task}, {self.epochs} epochs, {self.seeds} seeds, 95 % intervals", fontsize="small"
        )
        return ax

    def summary(self) -> str:
        """Held-out loss and accuracy of each kind, difference to the first, and what was trained."""
        lines = []
        for kind, parameters in zip(self.kinds, self.parameters, strict=True):
            (loss, half), (accuracy, part) = self.mean(kind), self.mean(kind, "test_accuracy")
            line = (
                f"{kind}: held-out loss {loss:.4g} ± {half:.2g}, accuracy {accuracy:.3f} ± {part:.2g}, "
                f"{parameters} parameters"
            )
            if kind != self.kinds[0]:
                less, width = self.difference(kind)
                line += f"; {less:+.3g} ± {width:.2g} beside {self.kinds[0]}"
            lines.append(line)
        note = ", INTERRUPTED before the other seeds" if self.interrupted else ""
        lines.append(
            f"{self.task} of width {self.width}, {self.blocks} blocks, {self.epochs} epochs, {self.seeds} "
            f"seeds, 95 % intervals{note}"
        )
        return "\n".join(lines)

    def _of(self, kind: str, measure: str) -> np.ndarray:
        check_choice("measure", measure, MEASURES)
        check_choice("kind", kind, self.kinds)
        return self.values[MEASURES.index(measure), self.kinds.index(kind)]


def compare_attention(
    task: str = "digits-transformer",
    kinds: Sequence[str] = ATTENTION_KINDS,
    *,
    epochs: int = 10,
    width: int = 32,
    blocks: int = 2,
    seeds: int = 3,
) -> AttentionContest:
    """Train a transformer with each kind of attention, from the same seeds, by the recipe of its problem.

    All but ``"nalaformer"`` have the same parameters, which start at the same values. Nothing is tuned: rate,
    decay and schedule are those that the problem has for the softmax.

    Parameters
    ----------
    task : {"digits-transformer", "text-gpt"}
        The problem.
    kinds : sequence of {"softmax", "elu", "norm-aware", "cosine", "nalaformer"}
        Of attention, the one to compare with first.
    epochs, width, blocks : int
        Options of the problem; a training of many epochs takes long.
    seeds : int
        Trainings of each kind, with the seeds 0, 1, ….

    Returns
    -------
    AttentionContest
        An interrupt (Ctrl-C) returns the seeds for which all kinds were trained.

    Raises
    ------
    TypeError, ValueError
        If the task or a kind is unknown, there is no kind, or a number is out of range.

    Notes
    -----
    Cost: ``len(kinds) * seeds * epochs`` passes forward and backward over the training split; a network that
    was trained before is read from the cache.
    """
    check_choice("task", task, TASKS)
    if not kinds:
        raise ValueError(f"kinds is empty: name some of {', '.join(ATTENTION_KINDS)}")
    for kind in kinds:
        check_choice("kinds", kind, ATTENTION_KINDS)
    check_count("seeds", seeds)
    found: list[list[list[float]]] = []
    parameters: tuple[int, ...] = ()
    interrupted = False
    try:
        with progress("attention compared", seeds * len(kinds)) as advance:
            for seed in range(seeds):
                row, counts = [], []
                for kind in kinds:
                    options = {"epochs": epochs, "width": width, "blocks": blocks, "seed": seed}
                    problem = load_problem(task, attention=kind, **options)
                    row.append([problem.metrics[measure] for measure in MEASURES])
                    counts.append(problem.num_parameters)
                    advance(1)
                found.append(row)
                parameters = tuple(counts)
    except KeyboardInterrupt:
        if not found:
            raise
        interrupted = True
    return AttentionContest(
        task=task,
        kinds=tuple(kinds),
        parameters=parameters,
        values=np.array(found).transpose(2, 1, 0),
        epochs=epochs,
        width=width,
        blocks=blocks,
        interrupted=interrupted,
    )
