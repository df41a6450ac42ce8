"""``follow_runs``: loss, errors and the Taylor radius at every step, on one set and with many step sizes."""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from workbench.choices import check_choice, check_count
from workbench.colors import BLUE, ORANGE, VERMILION
from workbench.progress import progress
from workbench.result import Result, new_axes
from workbench.stability.large_steps.example_sets import ExampleSets
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

CURVES = ("loss", "wrong", "ratio", "ratio_bound")
FLOOR = 1e-6  # of what is drawn: once separated, a large step makes the loss 0 but for hundreds of digits
_AXES = {
    "loss": "loss",
    "wrong": "share on the wrong side",
    "ratio": "step / Taylor radius",
    "ratio_bound": "step / (π/Δ)",
}
_MARKS = {"gradient descent": "o", "normalised": "x"}


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class LargeStepRuns(Result):
    """Descents on one set, from 0, with both rules and k step sizes, at steps 0 to m.

    Attributes
    ----------
    kind, pair : str
        Of the set.
    seed, examples : int
        Of the draw, and how many there are.
    rates : ndarray (k,)
        Step sizes.
    loss : ndarray (2, k, m + 1)
        Of each iterate, first of gradient descent, then normalised; nan at an infinite rate.
    wrong : ndarray (2, k, m + 1)
        Share of the examples that are not on their side.
    ratio, ratio_bound : ndarray (2, k, m)
        Length of the step from each iterate over the exact Taylor radius there, and over its bound π/Δ.
    interrupted : bool
        Whether there are fewer steps than were asked for.
    """

    kind: str
    pair: str
    seed: int
    examples: int
    rates: np.ndarray
    loss: np.ndarray
    wrong: np.ndarray
    ratio: np.ndarray
    ratio_bound: np.ndarray
    interrupted: bool = False

    @property
    def steps(self) -> np.ndarray:
        """Until separated (2, k); nan where that did not happen."""
        right = self.wrong == 0
        return np.where(right.any(-1), right.argmax(-1), np.nan)

    @property
    def rises(self) -> np.ndarray:
        """By how much each step changed the loss (2, k, m)."""
        return np.diff(self.loss, axis=-1)

    def curve(self, measure: str, rate: float, rule: str = "gradient descent") -> np.ndarray:
        """One curve (m + 1,) of ``"loss"`` or ``"wrong"``, (m,) of ``"ratio"`` or ``"ratio_bound"``."""
        check_choice("measure", measure, CURVES)
        check_choice("rule", rule, RULES)
        places = np.flatnonzero(self.rates == rate)
        if not len(places):
            raise ValueError(f"rate={rate:g} is not one of {', '.join(f'{each:g}' for each in self.rates)}")
        values: np.ndarray = getattr(self, measure)[RULES.index(rule), places[0]]
        return values

    def frame(self) -> pd.DataFrame:
        """One row per rule, rate and step: the iterate, and the step from it (nan after the last)."""
        rule, rate, step = (index.ravel() for index in np.indices(self.loss.shape))
        table: dict[str, np.ndarray] = {"rule": np.array(RULES)[rule], "rate": self.rates[rate], "step": step}
        table |= {"loss": self.loss.ravel(), "wrong": self.wrong.ravel()}
        for name in ("ratio", "ratio_bound"):
            padded = np.pad(getattr(self, name), ((0, 0), (0, 0), (0, 1)), constant_values=np.nan)
            table[name] = padded.ravel()
        return pd.DataFrame(table)

    def plot(self, ax: "Axes | None" = None, measure: str = "loss", rule: str = "gradient descent") -> "Axes":
        """A curve for each rate, light for small ones; the dot is where the set is separated."""
        from matplotlib import colormaps

        ax = new_axes(ax)
        shades = colormaps["viridis_r"](np.linspace(0.05, 1, len(self.rates)))
        ends = self.steps[RULES.index(rule)]
        for place, rate in enumerate(self.rates):
            values = self.curve(measure, rate, rule)
            if np.isnan(values).all():
                continue
            ax.plot(values, color=shades[place], linewidth=1, label=f"γ = {rate:g}")
            if measure in ("loss", "wrong") and np.isfinite(ends[place]):
                ax.plot(ends[place], values[int(ends[place])], "o", color=shades[place], markersize=4)
        if measure != "wrong":
            ax.set_yscale("log")
            ax.set_ylim(bottom=max(ax.get_ylim()[0], FLOOR))
        if measure.startswith("ratio"):
            ax.axhline(1, color="0.4", linestyle="--", linewidth=1)
        ax.set_xlabel("step")
        ax.set_ylabel(_AXES[measure])
        ax.set_title(f"{rule}: {self._title()}", fontsize="small")
        ax.legend(fontsize="x-small", ncols=2)
        return ax

    def plot_rises(self, ax: "Axes | None" = None) -> "Axes":
        """Every step before the separation: what it did to the loss, against its length over the radius."""
        ax = new_axes(ax)
        for rule, name in enumerate(RULES):
            ratio, change = self._before(rule)
            for up, color in ((False, BLUE), (True, VERMILION)):
                some = (change > 0) == up
                label = f"{name}, loss {'up' if up else 'down'} ({some.sum()})"
                ax.plot(
                    ratio[some],
                    np.abs(change[some]),
                    _MARKS[name],
                    color=color,
                    markersize=2.5,
                    alpha=0.7,
                    label=label,
                )
        ax.axvline(1, color=ORANGE, linestyle="--", linewidth=1)
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xlabel("step / Taylor radius")
        ax.set_ylabel("size of the change of the loss")
        ax.set_title(f"steps until separated: {self._title()}", fontsize="small")
        ax.legend(fontsize="x-small")
        return ax

    def summary(self) -> str:
        """Steps of each rule and rate, how many raised the loss, and the shortest of these in radii."""
        lines = []
        for rule, name in enumerate(RULES):
            told = [
                f"{'none' if math.isnan(steps) else f'{steps:.0f}'} at γ = {rate:g}"
                for steps, rate in zip(self.steps[rule], self.rates, strict=True)
            ]
            lines.append(f"{name}: separated after {', '.join(told)}")
        ratio, change = (np.concatenate(parts) for parts in zip(*map(self._before, (0, 1)), strict=True))
        up = ratio[change > 0]
        shortest = f"the shortest at {up.min():.3g} radii" if len(up) else "none"
        note = ", INTERRUPTED" if self.interrupted else ""
        lines.append(f"{len(up)} of {len(ratio)} steps before that raised the loss, {shortest}")
        lines.append(
            f"{self._title()}, {self.wrong.shape[-1] - 1} steps of {self.wrong[..., 0].size} runs{note}"
        )
        return "\n".join(lines)

    def _before(self, rule: int) -> tuple[np.ndarray, np.ndarray]:
        """Ratios and changes of the loss of the steps up to the one that separates, at finite rates."""
        ends = np.nan_to_num(self.steps[rule], nan=math.inf)
        some = (np.arange(self.ratio.shape[-1]) < ends[:, None]) & np.isfinite(self.rates)[:, None]
        return self.ratio[rule][some], self.rises[rule][some]

    def _title(self) -> str:
        return f"{self.kind} {self.pair}, {self.examples} examples, seed {self.seed}"


def follow_runs(sets: ExampleSets, rates: Sequence[float] = RATES, *, steps: int = 300) -> LargeStepRuns:
    """Descend on one set with each step size and both rules, and keep every step.

    Parameters
    ----------
    sets : ExampleSets
        With one set.
    rates : sequence of float
        Step sizes γ, positive; inf is the batch perceptron.
    steps : int
        Of each run, also after it has separated the set.

    Returns
    -------
    LargeStepRuns
        An interrupt (Ctrl-C) returns the steps that were done.

    Raises
    ------
    TypeError, ValueError
        If there is more than one set, a rate is not positive, or ``steps`` is out of range.

    Notes
    -----
    Cost: ``2 * len(rates) * steps`` passes forward and backward over the set.
    """
    if len(sets) != 1:
        raise ValueError(f"sets holds {len(sets)} sets: follow_runs takes one, sweep_step_sizes takes many")
    check_rates(rates)
    check_count("steps", steps)
    given = torch.tensor([float(rate) for rate in rates], dtype=torch.float64)
    both, normalized = columns(given)
    weights = sets.rows.new_zeros(1, len(both), sets.rows.shape[-1])
    margins = sets.rows.new_zeros(1, len(both), sets.rows.shape[1])
    found: dict[str, list[torch.Tensor]] = {name: [] for name in CURVES}

    def keep(margins: torch.Tensor) -> None:
        found["loss"].append(mean_loss(margins, both))
        found["wrong"].append((margins <= 0).double().mean(-1))

    interrupted = False
    keep(margins)
    try:
        with progress("steps of every size", steps) as advance:
            for _ in range(steps):
                step = take_step(sets.rows, weights, margins, both, normalized)
                weights, margins = step.weights, step.margins
                keep(margins)
                found["ratio"].append(step.ratio)
                found["ratio_bound"].append(step.ratio_bound)
                advance(1)
    except KeyboardInterrupt:
        if not found["ratio"]:
            raise
        interrupted = True
    curves = {name: by_rule(torch.stack(values)[:, 0]) for name, values in found.items()}
    told = sets.columns()
    return LargeStepRuns(
        kind=str(told["kind"][0]),
        pair=str(told["pair"][0]),
        seed=int(told["seed"][0]),
        examples=sets.rows.shape[1],
        rates=given.numpy(),
        **{name: np.swapaxes(values, 1, 2) for name, values in curves.items()},
        interrupted=interrupted,
    )
