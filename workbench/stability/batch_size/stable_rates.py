"""``measure_stable_rates``: the largest learning rate that a training survives, over the batch size."""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from workbench.choices import check_choice, check_count, check_number
from workbench.colors import BLUE, GREEN, VERMILION
from workbench.curvature.subsampling import check_sizes
from workbench.problem import Problem
from workbench.progress import progress
from workbench.result import Result, new_axes, standard_error, student_interval
from workbench.stability.batch_size.stacked_runs import OPTIMIZERS, StackedRuns, batch_orders, stacked_starts
from workbench.stability.last_iterates.rate_fits import Slope

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
RANGES = {"sgd": (0.1, 16.0), "momentum": (0.015, 2.0), "adam": (0.008, 2.0)}  # of the rates tried
COLORS = dict(zip(OPTIMIZERS, (BLUE, GREEN, VERMILION), strict=True))
_NORMAL = 1.96  # standard errors within which 95 % lie
SATURATED = 0.8  # of the largest mean rate: what reaches it is not fitted


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class StableRates(Result):
    """Outcomes of trainings by o optimizers with s batch sizes, r rates and k seeds.

    A run is *stable* if the loss over all the data after its last step is at most that at its start. The
    largest stable rate of a seed parts its runs such that the fewest are on the wrong side: unstable below
    it or stable above, as chance has it near the limit. It stands halfway between two rates of the grid, or
    in the middle of the places that do equally well. Where between the rates a limit is, is not known: as
    all seeds have the same rates, that need not average out, and errors count it in full beside the spread of
    the seeds: by the standard deviation of what is even over a spacing. A limit beyond the grid counts as
    half a spacing outside, in means and slopes, too; :meth:`at_edge` says how many there are.

    Attributes
    ----------
    optimizers : tuple of str
    sizes : ndarray (s,) of int
        Batch sizes, ascending.
    rates : ndarray (o, r)
        Learning rates that were tried, ascending by equal factors.
    ratios : ndarray (o, s, r, k)
        Loss at the end over that at the start; inf where it is not finite.
    steps : int
        Of each run.
    seed : int
        Of batches.
    interrupted : bool
        Whether there are fewer optimizers than were asked for.
    """

    optimizers: tuple[str, ...]
    sizes: np.ndarray
    rates: np.ndarray
    ratios: np.ndarray
    steps: int
    seed: int
    interrupted: bool = False

    def largest(self, optimizer: str) -> np.ndarray:
        """Return the largest stable rate (s, k); just beyond the grid where it has no end there."""
        place = self._place(optimizer)
        return self.rates[place, 0] * np.exp(self._spacing(place) * (self._limits(place)[0] - 0.5))

    def at_edge(self, optimizer: str) -> int:
        """Count the runs whose limit lies outside the rates that were tried."""
        limits = self._limits(self._place(optimizer))[0]
        return int(((limits == 0) | (limits == self.rates.shape[1])).sum())

    def misplaced(self, optimizer: str) -> float:
        """Share of the runs on the wrong side of the limit: how blurred it is."""
        place = self._place(optimizer)
        return float(self._limits(place)[1].sum() / self.ratios[place].size)

    def mean(self, optimizer: str) -> tuple[np.ndarray, np.ndarray]:
        """Geometric mean of the largest stable rates (s,), and the standard error of its logarithm.

        The error is that over seeds and that of the spacing, added as squares.
        """
        logs = np.log(self.largest(optimizer))
        return np.exp(logs.mean(1)), np.hypot(standard_error(logs.T), self._rounding(optimizer))

    def unsaturated(self, optimizer: str) -> np.ndarray:
        """Whether a size is fitted (s,): up to the first whose mean is 0.8 of the largest, two at least."""
        means = self.mean(optimizer)[0]
        end = int(np.argmax(means >= SATURATED * means.max()))
        return np.arange(len(self.sizes)) <= max(end, 1)

    def slope(self, optimizer: str) -> Slope:
        """Power of the batch size that stable rates grow with where they are not saturated.

        Its 95% interval is Student's over the seeds, the range of sizes kept, with the error of the spacing
        at each size added as squares.
        """
        kept = self.unsaturated(optimizer)
        x = np.log(self.sizes[kept])
        x = x - x.mean()
        center, half = student_interval(x @ np.log(self.largest(optimizer)[kept]) / (x @ x))
        half = math.hypot(half, _NORMAL * self._rounding(optimizer) / math.sqrt(x @ x))
        return Slope(center, center - half, center + half)

    def slopes(self) -> pd.DataFrame:
        """One row per optimizer: fitted slope with its interval, the sizes, how sharp the limits are."""
        rows = []
        for optimizer in self.optimizers:
            fitted = self.sizes[self.unsaturated(optimizer)]
            row = {"optimizer": optimizer, **self.slope(optimizer)._asdict()}
            row |= {"from_size": fitted[0], "to_size": fitted[-1], "beyond_grid": self.at_edge(optimizer)}
            row["misplaced"] = self.misplaced(optimizer)
            rows.append(row)
        return pd.DataFrame(rows)

    def frame(self) -> pd.DataFrame:
        """One row per optimizer and batch size."""
        parts = []
        for optimizer in self.optimizers:
            mean, error = self.mean(optimizer)
            columns = {"optimizer": optimizer, "batch_size": self.sizes, "rate": mean, "log_stderr": error}
            parts.append(pd.DataFrame(columns | {"fitted": self.unsaturated(optimizer)}))
        return pd.concat(parts, ignore_index=True)

    def plot(self, ax: "Axes | None" = None, curvatures: Mapping[str, np.ndarray] | None = None) -> "Axes":
        """Draw the largest stable rates over the batch size, hollow where saturated, with fitted slopes.

        Parameters
        ----------
        ax : Axes, optional
        curvatures : mapping of names to ndarray (s,), optional
            Rates predicted for these sizes, drawn gray.
        """
        ax = new_axes(ax)
        for optimizer in self.optimizers:
            mean, error = self.mean(optimizer)
            slope, kept, color = self.slope(optimizer), self.unsaturated(optimizer), COLORS[optimizer]
            label = f"{optimizer}: slope {slope.value:.2f} [{slope.low:.2f}, {slope.high:.2f}]"
            if beyond := self.at_edge(optimizer):
                label += f", {beyond} limits beyond the rates"
            bars = mean * (1 - np.exp(-2 * error)), mean * (np.exp(2 * error) - 1)
            ax.errorbar(self.sizes, mean, bars, fmt="none", ecolor=color, capsize=2)
            ax.plot(self.sizes, mean, "o", color=color, markerfacecolor="white")
            ax.plot(self.sizes[kept], mean[kept], "o-", color=color, label=label)
        for (name, values), style in zip(
            (curvatures or {}).items(), itertools.cycle(("--", ":", "-.")), strict=False
        ):
            ax.plot(self.sizes, values, style, color="0.4", label=name)
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        ax.set_xlabel("batch size (examples); hollow: saturated")
        ax.set_ylabel("largest stable learning rate")
        ax.set_title(f"{self.steps} steps, {self.ratios.shape[-1]} seeds", fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """Slopes with their intervals, and what was run."""
        lines = []
        for optimizer in self.optimizers:
            slope, fitted = self.slope(optimizer), self.sizes[self.unsaturated(optimizer)]
            beyond = self.at_edge(optimizer)
            told = f", {beyond} of the limits beyond the rates" if beyond else ""
            lines.append(
                f"{optimizer}: largest stable rate as B^{slope.value:.2f} [{slope.low:.2f}, "
                f"{slope.high:.2f}], B from {fitted[0]} to {fitted[-1]}; "
                f"{self.misplaced(optimizer):.0%} of runs are on the wrong side{told}"
            )
        note = ", INTERRUPTED" if self.interrupted else ""
        lines.append(
            f"{self.ratios.size} runs of {self.steps} steps{note}; errors count seeds and spacing of rates"
        )
        return "\n".join(lines)

    def _place(self, optimizer: str) -> int:
        check_choice("optimizer", optimizer, self.optimizers)
        return self.optimizers.index(optimizer)

    def _spacing(self, place: int) -> float:
        """Of the rates, in the logarithm."""
        return math.log(self.rates[place, 1] / self.rates[place, 0])

    def _rounding(self, optimizer: str) -> float:
        """Standard deviation of what is even over one spacing."""
        return self._spacing(self._place(optimizer)) / math.sqrt(12)

    def _limits(self, place: int) -> tuple[np.ndarray, np.ndarray]:
        """Rates below the limit for each size and seed, halfway between ties; runs on the wrong side."""
        unstable = np.pad((self.ratios[place] > 1).cumsum(1), ((0, 0), (1, 0), (0, 0)))
        count = np.arange(unstable.shape[1])[:, None]
        stable_above = (count[-1] - unstable[:, -1:]) - (count - unstable)
        wrong = unstable + stable_above
        last = wrong.shape[1] - 1 - wrong[:, ::-1].argmin(axis=1)
        return (wrong.argmin(axis=1) + last) / 2, wrong.min(axis=1)


def measure_stable_rates(
    problem: Problem | Sequence[Problem],
    sizes: Sequence[int] = SIZES,
    *,
    optimizers: Sequence[str] = OPTIMIZERS,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    rates: int = 16,
    steps: int = 80,
    seeds: int = 4,
    seed: int = 0,
) -> StableRates:
    """Train with every batch size, optimizer and learning rate, and see which runs end above their start.

    All rates and seeds of one size and optimizer are one tensor program.

    Parameters
    ----------
    problem : Problem, or sequence of them
        Where runs start. Of several, which are one network in different states, the seeds take turns.
    sizes : sequence of int
        Batch sizes. Each batch is drawn without replacement, anew at each step; the rates of a seed and the
        optimizers see the same ones.
    optimizers : sequence of str
        Of ``"sgd"``, ``"momentum"`` (heavy ball, 0.9), ``"adam"`` (betas 0.9 and 0.999).
    ranges : mapping of optimizers to (lowest, highest), optional
        Of the rates; by default wide enough for small networks on digits.
    rates : int
        How many, equally spaced in the logarithm.
    steps : int
        Of each run.
    seeds : int
        Runs of each setting, with batches of their own.
    seed : int
        Of the batches.

    Returns
    -------
    StableRates
        An interrupt (Ctrl-C) returns the optimizers that are done.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, a problem has no batches of (inputs, targets), or several differ in
        more than their parameters' values.

    Notes
    -----
    Cost: optimizers × rates × seeds × steps gradients of a batch for each size, and a forward pass over all
    the data for each run. The comparison is after Granziol, Zohren, Roberts, arXiv 2006.09092; what counts as
    stable is ours.
    """
    _check(optimizers, ranges, rates, steps, seeds)
    first, weights = stacked_starts(problem, seeds)
    sizes = check_sizes(sizes, first.num_examples)
    if len(sizes) < 2:
        raise ValueError(f"sizes={sizes}: a slope needs 2 batch sizes at least")
    grids = {name: np.geomspace(*(ranges or RANGES)[name], rates) for name in optimizers}
    orders = [seed + run for run in range(seeds)]
    found: list[np.ndarray] = []
    interrupted = False
    with progress("stable rates", len(optimizers) * len(sizes) * steps) as advance:
        try:
            for name in optimizers:
                ratios = []
                for size in sizes:
                    places = batch_orders(first.num_examples, size, steps, orders).repeat(rates, 1, 1)
                    grid = torch.from_numpy(grids[name]).repeat_interleave(seeds)
                    runs = StackedRuns(first, weights.repeat(rates, 1), grid, name)
                    before = runs.losses()
                    for step in range(steps):
                        runs.step(places[:, step])
                        advance(1, f"{name}, batches of {size}")
                    ratio = (runs.losses() / before).nan_to_num(math.inf, math.inf)
                    ratios.append(ratio.reshape(rates, seeds).numpy())
                found.append(np.array(ratios))
        except KeyboardInterrupt:
            if not found:
                raise
            interrupted = True
    done = tuple(optimizers[: len(found)])
    return StableRates(
        optimizers=done,
        sizes=np.array(sizes),
        rates=np.array([grids[name] for name in done]),
        ratios=np.array(found),
        steps=steps,
        seed=seed,
        interrupted=interrupted,
    )


def _check(
    optimizers: Sequence[str],
    ranges: Mapping[str, tuple[float, float]] | None,
    rates: int,
    steps: int,
    seeds: int,
) -> None:
    if not optimizers:
        raise ValueError(f"optimizers is empty: name some of {', '.join(OPTIMIZERS)}")
    for name in optimizers:
        check_choice("optimizers", name, OPTIMIZERS)
        if ranges is not None:
            check_choice("optimizers", name, tuple(ranges))
            low, high = ranges[name]
            check_number(f"lowest rate of {name}", low, above=0, below=math.inf)
            check_number(f"highest rate of {name}", high, above=low, below=math.inf)
    check_count("rates", rates, low=2)
    check_count("steps", steps)
    check_count("seeds", seeds, low=2)
