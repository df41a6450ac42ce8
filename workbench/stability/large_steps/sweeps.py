"""``sweep_step_sizes``: steps until two classes are separated, over step sizes from tiny to infinite."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from workbench.choices import check_choice, check_count
from workbench.colors import BLUE, GREEN, ORANGE, SKY, VERMILION
from workbench.progress import progress
from workbench.result import Result, new_axes
from workbench.stability.large_steps.bounds import budget, most_steps
from workbench.stability.large_steps.example_sets import KINDS, ExampleSets
from workbench.stability.large_steps.margins import max_margins
from workbench.stability.large_steps.scaled_descent import (
    RATES,
    RULES,
    by_rule,
    check_rates,
    columns,
    mean_loss,
    take_step,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KIND_COLORS = dict(zip(KINDS, (BLUE, GREEN, ORANGE, SKY, VERMILION), strict=True))
OTHER_COLOR = "#555555"
MEASURES = ("steps", "bound", "peak_loss", "ratio", "ratio_bound", "spent")
_AXES = {
    "steps": "steps until separated",
    "bound": "steps until separated, at most",
    "peak_loss": "highest loss before",
    "ratio": "step / Taylor radius",
    "ratio_bound": "step / (π/Δ)",
    "spent": "weight of all steps",
}
_TIDY = 32  # steps between looks at which runs are over


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class StepSizeSweep(Result):
    """Descents from 0 with both rules and k step sizes on s sets, until every example is on its side.

    Attributes
    ----------
    kinds, pairs, seeds : ndarray (s,)
        What each set is.
    rates : ndarray (k,)
        Step sizes; inf is the perceptron, in batches.
    steps : ndarray (2, s, k)
        Until separated, first by gradient descent, then normalised; nan if not within ``limit``.
    peak_loss : ndarray (2, s, k)
        Highest loss of an iterate before the one that separates; nan at an infinite rate.
    last_loss : ndarray (2, s, k)
        Loss of the iterate that separates; nan if there is none.
    ratio, ratio_bound : ndarray (2, s, k)
        Step over the exact Taylor radius and over its bound π/Δ, geometric means over the steps after the
        first, which starts where all margins are 0; nan if there was but one.
    inside, risen, risen_inside : ndarray (2, s, k)
        Steps shorter than the radius; steps that raised the loss; both at once.
    spent : ndarray (2, s, k)
        Weight of all steps: the sum of the mean of σ(−m), or the count of normalised steps.
    budget : ndarray (s, k)
        What Theorem 6.1 lets them spend at most.
    bound : ndarray (2, s, k)
        On the steps; inf where nothing separates.
    margin, margin_upper, radius, smoothness : ndarray (s,)
        μ and what it is at most, R, and the largest curvature L of the loss.
    examples : int
        n of each set.
    limit : int
        Steps after which a run was given up.
    passes : int
        Passes forward and backward over one set, all together.
    interrupted : bool
        Whether the work was stopped before that.
    """

    kinds: np.ndarray
    pairs: np.ndarray
    seeds: np.ndarray
    rates: np.ndarray
    steps: np.ndarray
    peak_loss: np.ndarray
    last_loss: np.ndarray
    ratio: np.ndarray
    ratio_bound: np.ndarray
    inside: np.ndarray
    risen: np.ndarray
    risen_inside: np.ndarray
    spent: np.ndarray
    budget: np.ndarray
    bound: np.ndarray
    margin: np.ndarray
    margin_upper: np.ndarray
    radius: np.ndarray
    smoothness: np.ndarray
    examples: int
    limit: int
    passes: int
    interrupted: bool = False

    @property
    def separated(self) -> np.ndarray:
        """Whether a run separated its set (2, s, k)."""
        return np.isfinite(self.steps)

    def of(self, kind: str, rule: str = "gradient descent", measure: str = "steps") -> np.ndarray:
        """A measure of all sets of a kind (sets, k)."""
        check_choice("kind", kind, list(dict.fromkeys(self.kinds.tolist())))
        check_choice("rule", rule, RULES)
        check_choice("measure", measure, MEASURES)
        values: np.ndarray = getattr(self, measure)[RULES.index(rule), self.kinds == kind]
        return values

    def frame(self) -> pd.DataFrame:
        """One row per run."""
        rule, place, rate = (index.ravel() for index in np.indices(self.steps.shape))
        table = {"kind": self.kinds[place], "pair": self.pairs[place], "seed": self.seeds[place]}
        table |= {"rule": np.array(RULES)[rule], "rate": self.rates[rate]}
        for name in (*MEASURES, "last_loss", "inside", "risen", "risen_inside"):
            table[name] = getattr(self, name).ravel()
        table["budget"] = self.budget[place, rate]
        for name in ("margin", "radius", "smoothness"):
            table[name] = getattr(self, name)[place]
        return pd.DataFrame(table)

    def by_rate(self) -> pd.DataFrame:
        """One row per kind, rule and rate: quartiles of the steps over the sets; a run given up is inf."""
        rows = []
        for kind in dict.fromkeys(self.kinds.tolist()):
            for rule in RULES:
                for place, rate in enumerate(self.rates):
                    found = self.of(kind, rule)[:, place]
                    low, middle, high = _quartiles(found)
                    row = {"kind": kind, "rule": rule, "rate": rate, "sets": len(found)}
                    row |= {
                        "separated": int(np.isfinite(found).sum()),
                        "low": low,
                        "steps": middle,
                        "high": high,
                    }
                    row["bound"] = np.median(self.of(kind, rule, "bound")[:, place])
                    for measure in ("peak_loss", "ratio", "ratio_bound"):
                        row[measure] = _known_quartiles(self.of(kind, rule, measure)[:, place])[1]
                    rows.append(row)
        return pd.DataFrame(rows)

    def plot(
        self, ax: "Axes | None" = None, measure: str = "steps", rule: str = "gradient descent"
    ) -> "Axes":
        """Median over the sets of each kind, quartiles as a band; of the steps the bound, dotted."""
        ax = new_axes(ax)
        finite = np.isfinite(self.rates)
        x = np.where(finite, self.rates, 30 * self.rates[finite].max(initial=1.0))
        for kind in dict.fromkeys(self.kinds.tolist()):
            color = KIND_COLORS.get(kind, OTHER_COLOR)
            share = _quartiles if measure == "steps" else _known_quartiles
            low, middle, high = np.stack([share(each) for each in self.of(kind, rule, measure).T], 1)
            ax.plot(x, _finite(middle), "o-", color=color, label=kind, markersize=3)
            top = _finite(high, self.limit if measure == "steps" else math.nan)
            ax.fill_between(x, _finite(low), top, color=color, alpha=0.15, linewidth=0)
            if measure == "steps":
                bound = np.median(self.of(kind, rule, "bound"), 0)
                ax.plot(x, _finite(bound), ":", color=color, linewidth=1)
        ax.axvspan(2 / self.smoothness.max(), 2 / self.smoothness.min(), color="0.8", zorder=0)
        ax.set_xscale("log")
        ax.set_yscale("log")
        if measure == "steps":
            ax.axhline(self.limit, color="0.5", linewidth=1, linestyle="--")
        if not finite.all():
            ticks = [*self.rates[finite][::2], x[~finite][0]]
            ax.set_xticks(ticks, [*(f"{rate:g}" for rate in self.rates[finite][::2]), "∞"], fontsize="small")
            ax.minorticks_off()
        ax.set_xlabel("step size γ (grey: 2/L)")
        ax.set_ylabel(_AXES[measure])
        ax.set_title(f"{rule}, {len(self.kinds)} sets of {self.examples}", fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """Median steps of each kind and rule at the ends of the rates, bounds kept, and the cost."""
        lines = []
        for kind in dict.fromkeys(self.kinds.tolist()):
            for rule in RULES:
                found = self.of(kind, rule)
                best = int(np.argmin([_quartiles(each)[1] for each in found.T]))
                told = ", ".join(
                    f"{_count(_quartiles(found[:, place])[1])} at γ = {self.rates[place]:g}"
                    for place in dict.fromkeys((0, best, len(self.rates) - 1))
                )
                lines.append(f"{kind}, {rule}: median steps {told}")
        kept = int((self.steps[self.separated] <= self.bound[self.separated]).sum())
        share = self.spent / np.where(np.isfinite(self.budget), self.budget, np.nan)
        note = ", INTERRUPTED" if self.interrupted else ""
        lines.append(
            f"{kept} of {int(self.separated.sum())} separations within their bound, at most "
            f"{np.nanmax(share, initial=0):.2g} of the budget spent"
        )
        lines.append(
            f"{len(self.kinds)} sets, at most {self.limit} steps, {self.passes} passes over a set{note}"
        )
        return "\n".join(lines)


def sweep_step_sizes(
    sets: ExampleSets, rates: Sequence[float] = RATES, *, limit: int = 2000
) -> StepSizeSweep:
    r"""Descend on the mean logistic loss of each set, from 0, with each step size and both rules.

    All sets, rules and rates advance together in one tensor program; what is over is taken out of it.

    Parameters
    ----------
    sets : ExampleSets
        From :func:`example_sets` or :func:`worst_case`, or rows of your own.
    rates : sequence of float
        Step sizes γ, positive; inf is the batch perceptron, which gradient descent becomes.
    limit : int
        Steps after which a run is given up.

    Returns
    -------
    StepSizeSweep
        An interrupt (Ctrl-C) returns the runs as far as they are.

    Raises
    ------
    TypeError, ValueError
        If a rate is not positive, there is none, or ``limit`` is out of range.

    Notes
    -----
    Cost: a pass forward and backward over the set for each step of each run; on one core about 30 µs of 160
    examples in 65 dimensions.
    Source: Tyurin, "From logistic regression to the perceptron algorithm", arXiv 2412.08424.
    """
    check_rates(rates)
    check_count("limit", limit)
    margins = max_margins(sets.rows)
    wanted = torch.tensor([float(rate) for rate in rates], dtype=torch.float64)
    runs = _Runs(sets.rows, wanted)
    interrupted = False
    try:
        with progress("step sizes", limit) as advance:
            while runs.running and runs.done < limit:
                runs.advance()
                advance(1)
            advance(limit - runs.done)
    except KeyboardInterrupt:
        if not runs.done:
            raise
        interrupted = True
    told = sets.columns()
    examples = sets.rows.shape[1]
    return StepSizeSweep(
        kinds=told["kind"],
        pairs=told["pair"],
        seeds=told["seed"],
        rates=wanted.numpy(),
        **runs.measures(),
        budget=budget(margins, wanted, examples).numpy(),
        bound=by_rule(most_steps(margins, wanted, examples)),
        margin=margins.margin.numpy(),
        margin_upper=margins.upper.numpy(),
        radius=margins.radius.numpy(),
        smoothness=margins.smoothness.numpy(),
        examples=examples,
        limit=int(limit),
        passes=runs.passes,
        interrupted=interrupted,
    )


class _Runs:
    """All runs of a sweep: what was found of each, and the sets and columns that still have some to go."""

    def __init__(self, rows: Tensor, rates: Tensor) -> None:
        self.rates, self.normalized = columns(rates)
        shape = len(rows), len(self.rates)
        names = ("peak_loss", "ratio", "ratio_bound", "inside", "risen", "risen_inside", "spent")
        self.found = {name: torch.zeros(shape, dtype=torch.float64) for name in names}
        self.found |= {
            name: torch.full(shape, torch.nan, dtype=torch.float64) for name in ("steps", "last_loss")
        }
        self.found["peak_loss"][:, self.rates.isinf()] = torch.nan
        self.done = self.passes = 0
        self.rows = rows
        self.sets, self.columns = torch.arange(shape[0]), torch.arange(shape[1])
        self.weights = torch.zeros(*shape, rows.shape[-1], dtype=torch.float64)
        self.margins = torch.zeros(*shape, rows.shape[1], dtype=torch.float64)
        self.loss = mean_loss(self.margins, self.rates)
        self.over = torch.zeros(shape, dtype=torch.bool)

    @property
    def running(self) -> bool:
        return not bool(self.over.all())

    def advance(self) -> None:
        """One step of all runs that are here, of which those that are over do not count."""
        rates, normalized = self.rates[self.columns], self.normalized[self.columns]
        step = take_step(self.rows, self.weights, self.margins, rates, normalized)
        loss = mean_loss(step.margins, rates)
        inside, risen = step.ratio < 1, loss > self.loss
        self.done += 1
        self.passes += int((~self.over).sum())
        self._keep("peak_loss", torch.maximum, self.loss)
        self._keep("spent", torch.add, step.spent)
        if self.done > 1:
            self._keep("ratio", torch.add, step.ratio.log())
            self._keep("ratio_bound", torch.add, step.ratio_bound.log())
        for name, counted in (("inside", inside), ("risen", risen), ("risen_inside", inside & risen)):
            self._keep(name, torch.add, counted.double())
        ended = ~self.over & (step.margins > 0).all(-1)
        place = self.sets[:, None].expand_as(ended)[ended], self.columns.expand_as(ended)[ended]
        self.found["steps"][place] = self.done
        self.found["last_loss"][place] = loss[ended]
        self.weights, self.margins, self.loss = step.weights, step.margins, loss
        self.over |= ended
        if self.done % _TIDY == 0:
            self._tidy()

    def measures(self) -> dict[str, np.ndarray]:
        """What was found, (2, sets, k) each; sums of logarithms as geometric means."""
        later = (self.found["steps"].nan_to_num(self.done) - 1).clamp(min=0)
        means = {name: (self.found[name] / later).exp() for name in ("ratio", "ratio_bound")}
        return {name: by_rule(values) for name, values in (self.found | means).items()}

    def _keep(self, name: str, combine: Callable[[Tensor, Tensor], Tensor], values: Tensor) -> None:
        place = self.sets[:, None], self.columns[None]
        before = self.found[name][place]
        self.found[name][place] = torch.where(self.over, before, combine(before, values))

    def _tidy(self) -> None:
        """Take out sets and columns of which all runs are over."""
        sets, columns = ~self.over.all(1), ~self.over.all(0)
        if bool(sets.all()) and bool(columns.all()):
            return
        self.rows, self.sets, self.columns = self.rows[sets], self.sets[sets], self.columns[columns]
        for name in ("weights", "margins", "loss", "over"):
            setattr(self, name, getattr(self, name)[sets][:, columns])


def _quartiles(values: np.ndarray) -> tuple[float, float, float]:
    """Quartiles among the values themselves, where nan is a run that was given up: larger than any."""
    known = np.sort(np.where(np.isnan(values), math.inf, values))
    low, middle, high = (float(known[round(share * (len(known) - 1))]) for share in (0.25, 0.5, 0.75))
    return low, middle, high


def _known_quartiles(values: np.ndarray) -> tuple[float, float, float]:
    """Quartiles of the values that are not nan; nan of none."""
    known = values[~np.isnan(values)]
    if not len(known):
        return math.nan, math.nan, math.nan
    low, middle, high = (float(each) for each in np.quantile(known, (0.25, 0.5, 0.75), method="nearest"))
    return low, middle, high


def _finite(values: np.ndarray, instead: float = math.nan) -> np.ndarray:
    """The values, and something in place of those that are infinite."""
    return np.where(np.isinf(values), instead, values)


def _count(steps: float) -> str:
    return f"{steps:.0f}" if math.isfinite(steps) else "none"
