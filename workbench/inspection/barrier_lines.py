"""``barriers``: whether the loss rises between the checkpoints of a training."""

import dataclasses
import itertools
import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from workbench.choices import check_count
from workbench.colors import BLUE, GREEN, VERMILION
from workbench.curvature import LossSlice, line_between, slice_loss
from workbench.curvature.loss_slice import Barrier
from workbench.problem import Problem
from workbench.progress import progress
from workbench.result import Result, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROUNDINGS = 100  # a rise below this many roundings of the loss is none


@dataclasses.dataclass(frozen=True, repr=False)
class Barriers(Result):
    r"""The loss on the straight lines from each checkpoint to the next, and from the first to the last.

    A barrier is :math:`\max_t L(\theta_t) - [(1 - t)\, L(\theta_0) + t\, L(\theta_1)]`, at least 0: what the
    loss rises above the straight line between its ends.

    Attributes
    ----------
    labels : tuple of str
        Of the checkpoints, in the order of training.
    lines : tuple of LossSlice
        One for each of ``starts`` and ``stops``.
    starts, stops : tuple of str
        Labels of the ends of each line.
    left_out : dict of str to str
        Lines that are not there, and why.
    terms : str
        What the loss is made of, e.g. ``"loss"``.
    interrupted : bool
        Whether lines, or points of the last one, are missing because the computation was stopped.
    """

    labels: tuple[str, ...]
    lines: tuple[LossSlice, ...]
    starts: tuple[str, ...]
    stops: tuple[str, ...]
    left_out: dict[str, str]
    terms: str = "loss"
    interrupted: bool = False

    @property
    def heights(self) -> np.ndarray:
        """Barrier of each line; nan if a loss was."""
        return np.array([_barrier(line)[0] for line in self.lines])

    @property
    def passes(self) -> int:
        """Forward passes over the data."""
        return sum(line.passes for line in self.lines)

    @property
    def gradients(self) -> float:
        """The same in gradients, of three forward passes each."""
        return self.passes / 3

    @property
    def carried(self) -> tuple[str, ...]:
        """Tensors that are no selected parameters and move along a line: statistics, frozen parameters."""
        return tuple(dict.fromkeys(name for line in self.lines for name in line.carried))

    @property
    def highest(self) -> int | None:
        """Index of the line with the highest barrier; None if there is none that is a number."""
        return None if np.isnan(self.heights).all() else int(np.nanargmax(self.heights))

    def frame(self) -> pd.DataFrame:
        """One row per line; the barrier, what points between those of the grid may add to it, and where."""
        rows = []
        for start, stop, line in zip(self.starts, self.stops, self.lines, strict=True):
            height, error, location, resolution = _barrier(line)
            ends = float(line.loss[0]), float(line.loss[-1])
            rises = height == math.inf or height > max(error, _rounding(line))
            with np.errstate(invalid="ignore"):
                over_mean = float(np.nanmax(line.loss) - sum(ends) / 2)
            rows.append({
                "start": start, "stop": stop, "distance": math.sqrt(line.gram[0, 0]), "loss_start": ends[0],
                "loss_stop": ends[1], "barrier": height, "barrier_error": error, "location": location,
                "resolution": resolution, "above_error": rises, "over_mean": over_mean, "passes": line.passes,
            })  # fmt: skip
        return pd.DataFrame(rows)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the loss from checkpoint to checkpoint; what it rises above the straight lines in orange."""
        ax = new_axes(ax)
        places = {label: place for place, label in enumerate(self.labels)}
        for start, stop, line in zip(self.starts, self.stops, self.lines, strict=True):
            if places[stop] - places[start] == 1:
                _draw(ax, line, places[start], BLUE, "loss on the line to the next checkpoint")
        ax.set_xticks(range(len(self.labels)), self.labels, fontsize="small")
        ax.set_xlabel("checkpoint")
        return self._finish(ax)

    def plot_ends(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the loss on the line from the first checkpoint to the last one."""
        ax = new_axes(ax)
        for start, stop, line in zip(self.starts, self.stops, self.lines, strict=True):
            if (start, stop) == (self.labels[0], self.labels[-1]):
                _draw(ax, line, 0.0, GREEN, "loss from the first checkpoint to the last")
        ax.set_xlabel(f"from {self.labels[0]} (0) to {self.labels[-1]} (1)")
        return self._finish(ax)

    def summary(self) -> str:
        """The highest barrier, how many lines have one, what moves along, what is left out, and the cost."""
        lines = ["no line between the checkpoints"]
        if self.highest is not None:
            table = self.frame()
            row = table.iloc[self.highest]
            lines = [
                f"highest barrier {row['barrier']:.4g} (+{row['barrier_error']:.1g} between points), from "
                f"{row['start']} to {row['stop']} at {row['location']:.3g} ± {row['resolution']:.2g}"
            ]
            count = int(table["above_error"].sum())
            lines.append(f"{count} of {len(table)} lines rise by more than grid and rounding may")
        if self.carried:
            lines.append(
                f"{len(self.carried)} tensors move along that are no selected parameters ({self.carried[0]}, "
                "…): averaged statistics are not those of averaged weights, which can make a barrier"
            )
        lines += [f"{what}: {reason}" for what, reason in self.left_out.items()]
        note = ", INTERRUPTED before the rest" if self.interrupted else ""
        return "\n".join([*lines, f"{self.passes} forward passes, of: {self.terms}{note}"])

    def _finish(self, ax: "Axes") -> "Axes":
        ax.set_ylabel(self.terms)
        ax.set_title(self.summary().splitlines()[0], fontsize="small")
        handles, names = ax.get_legend_handles_labels()
        unique = dict(zip(names, handles, strict=True))
        if unique:
            ax.legend(unique.values(), unique.keys(), fontsize="small")
        return ax


def barriers(problem: Problem, points: int = 11, *, regularization: bool = False) -> Barriers:
    r"""Measure the loss between the checkpoints of a training, along straight lines.

    Parameters
    ----------
    problem : Problem
        With at least two checkpoints (:meth:`~workbench.Problem.with_checkpoints`). It is not changed.
    points : int
        Points of a line, both ends among them: odd, and at least 3. A barrier that is narrower than their
        distance can be missed.
    regularization : bool
        Add the problem's regulariser and weight decay.

    Returns
    -------
    Barriers
        Lines with a checkpoint that cannot be used, or between equal ones, are left out with the reason. An
        interrupt (Ctrl-C) returns the lines so far.

    Raises
    ------
    ValueError, TypeError
        If the problem has fewer than two checkpoints, or ``points`` is out of range.

    Notes
    -----
    All floating tensors move, buffers such as the statistics of BatchNorm and frozen parameters too, so that
    the losses at the ends are those of the checkpoints; see :func:`~workbench.curvature.line_between`.

    Cost: one forward pass per point, and a few of one batch for each checkpoint. Memory: four copies of the
    model.

    Source: Entezari, Sedghi, Saukh and Neyshabur 2022 (arXiv 2110.06296), definition of the loss barrier.
    Frankle, Dziugaite, Roy and Carbin 2020 (arXiv 1912.05671) subtract the mean of the ends from the largest
    value (theirs is the test error) instead of the line between them; that is ``over_mean`` in the table.
    """
    check_count("points", points, 3)
    if points % 2 == 0:
        raise ValueError(f"points={points} is out of range: it must be odd")
    labels = tuple(problem.checkpoints)
    if len(labels) < 2:
        raise ValueError(
            f"{problem.name}: a line takes two checkpoints, and there are {len(labels)}: see with_checkpoints"
        )
    ends = list(itertools.pairwise(labels))
    if len(labels) > 2:
        ends.append((labels[0], labels[-1]))
    lines: dict[tuple[str, str], LossSlice] = {}
    left_out: dict[str, str] = {}
    interrupted = False
    try:
        with progress("lines between checkpoints", len(ends)) as advance:
            for start, stop in ends:
                try:
                    direction = line_between(problem, problem.checkpoints[start], problem.checkpoints[stop])
                except ValueError as error:
                    left_out[f"{start} to {stop}"] = str(error)
                    advance(1)
                    continue
                line = slice_loss(
                    problem, direction, points=points, quadratic=False, regularization=regularization
                )
                lines[start, stop] = line
                if line.interrupted:
                    raise KeyboardInterrupt
                advance(1)
    except KeyboardInterrupt:
        if not lines:
            raise
        interrupted = True
    return Barriers(
        labels=labels,
        lines=tuple(lines.values()),
        starts=tuple(start for start, _ in lines),
        stops=tuple(stop for _, stop in lines),
        left_out=left_out,
        terms=problem.terms(regularization),
        interrupted=interrupted,
    )


def _barrier(line: LossSlice) -> Barrier:
    assert line.barrier is not None  # a line between checkpoints has one
    return line.barrier


def _rounding(line: LossSlice) -> float:
    """What rounding may make of a loss on the line."""
    finite = line.loss[np.isfinite(line.loss)]
    return _ROUNDINGS * line.precision * float(np.abs(finite).max(initial=0.0))


def _draw(ax: "Axes", line: LossSlice, start: float, color: str, label: str) -> None:
    """Draw a line's loss from ``start`` to ``start + 1``, the straight line between its ends, the rise."""
    (t,) = line.axes
    loss = np.where(np.isfinite(line.loss), line.loss, np.nan)
    straight = (1 - t) * loss[0] + t * loss[-1]
    ax.plot(start + t, loss, color=color, marker=".", label=label)
    ax.plot(start + t, straight, color="0.4", linestyle=":", label="between the ends")
    ax.fill_between(start + t, straight, np.fmax(loss, straight), color=VERMILION, alpha=0.3, linewidth=0,
                    label="barrier")  # fmt: skip
