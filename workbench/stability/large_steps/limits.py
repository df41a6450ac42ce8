"""``perceptron_limit``: how far gradient descent with a large step is from the batch perceptron."""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from workbench.choices import check_count
from workbench.colors import BLUE, VERMILION
from workbench.progress import progress
from workbench.result import Result, new_axes
from workbench.stability.large_steps.example_sets import ExampleSets
from workbench.stability.large_steps.scaled_descent import (
    RATES,
    RULES,
    by_rule,
    check_rates,
    columns,
    take_step,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLORS = dict(zip(RULES, (BLUE, VERMILION), strict=True))
AGREED = 1e-6


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class PerceptronLimit(Result):
    """Both rules on s sets with k step sizes beside their limits, the batch perceptrons.

    Attributes
    ----------
    kinds, pairs, seeds : ndarray (s,)
        What each set is.
    rates : ndarray (k,)
        Step sizes, finite.
    deviation : ndarray (2, s, k)
        Largest distance of θ/γ to the perceptron's iterate over the length of that, over all steps up to its
        separation.
    nearest : ndarray (2, s)
        Least distance from 0 of a margin of the perceptron's iterates after the first: γ times it says
        whether the logistic function has come to its ends.
    steps : ndarray (2, s)
        That were compared.
    separated : ndarray (2, s)
        Whether the perceptron was done by then.
    interrupted : bool
        Whether steps are missing.
    """

    kinds: np.ndarray
    pairs: np.ndarray
    seeds: np.ndarray
    rates: np.ndarray
    deviation: np.ndarray
    nearest: np.ndarray
    steps: np.ndarray
    separated: np.ndarray
    interrupted: bool = False

    def agreed(self, rule: str = "gradient descent") -> np.ndarray:
        """Share (k,) of the sets on which every step agrees to 1e-6."""
        share: np.ndarray = (self.deviation[RULES.index(rule)] <= AGREED).mean(0)
        return share

    def frame(self) -> pd.DataFrame:
        """One row per rule, set and rate."""
        rule, place, rate = (index.ravel() for index in np.indices(self.deviation.shape))
        return pd.DataFrame(
            {
                "rule": np.array(RULES)[rule],
                "kind": self.kinds[place],
                "pair": self.pairs[place],
                "seed": self.seeds[place],
                "rate": self.rates[rate],
                "deviation": self.deviation.ravel(),
                "nearest": self.nearest[rule, place],
                "steps": self.steps[rule, place],
            }
        )

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Every set as a line: the largest deviation against the step size."""
        ax = new_axes(ax)
        floor = np.finfo(float).eps
        for name, values in zip(RULES, self.deviation, strict=True):
            for place, line in enumerate(np.maximum(values, floor)):
                label = name if place == 0 else None
                ax.plot(self.rates, line, color=_COLORS[name], alpha=0.5, linewidth=1, label=label)
        ax.axhline(AGREED, color="0.4", linestyle="--", linewidth=1, label="1e-6")
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xlabel("step size γ")
        ax.set_ylabel("largest distance of θ/γ to the perceptron")
        ax.set_title(f"{self.deviation.shape[1]} sets, all steps until separated", fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """How many sets agree to 1e-6 with the largest step size, and the largest deviation there."""
        lines = []
        last = int(self.rates.argmax())
        for rule, name in enumerate(RULES):
            values = self.deviation[rule, :, last]
            lines.append(
                f"{name}, γ = {self.rates[last]:g}: {(values <= AGREED).sum()} of {len(values)} sets agree "
                f"with the perceptron to 1e-6 at every step, largest distance {values.max():.2g}"
            )
        note = ", INTERRUPTED" if self.interrupted else ""
        compared, least = self.steps.max(), (self.nearest * self.rates[last]).min()
        lines.append(f"up to {compared:.0f} steps, γ times the least margin {least:.2g} or more{note}")
        return "\n".join(lines)


def perceptron_limit(
    sets: ExampleSets, rates: Sequence[float] = RATES[:-1], *, limit: int = 2000
) -> PerceptronLimit:
    """Run gradient descent and its limit side by side and measure how far apart they are.

    The limit is exact where no iterate of the perceptron has an example on its plane: with a margin m of θ/γ
    the logistic function is off its limit by exp(-γ|m|).

    Parameters
    ----------
    sets : ExampleSets
        Of any kind; those that are not separable are compared for all steps.
    rates : sequence of float
        Step sizes, positive and finite.
    limit : int
        Steps at most.

    Returns
    -------
    PerceptronLimit
        An interrupt (Ctrl-C) returns the comparison up to there.

    Raises
    ------
    TypeError, ValueError
        If a rate is not positive and finite, there is none, or ``limit`` is out of range.

    Notes
    -----
    Cost: a pass over each set for each rate, rule and step. Source: Tyurin, arXiv 2412.08424, Theorem 3.2.
    """
    check_rates(rates)
    if any(math.isinf(rate) for rate in rates):
        raise ValueError(
            f"rates={list(rates)}: they must be finite, an infinite one is what they are held against"
        )
    check_count("limit", limit)
    given = torch.tensor([*map(float, rates), math.inf], dtype=torch.float64)
    both, normalized = columns(given)
    shape = len(sets), len(RULES), len(given)
    weights = sets.rows.new_zeros(len(sets), len(both), sets.rows.shape[-1])
    margins = sets.rows.new_zeros(len(sets), len(both), sets.rows.shape[1])
    deviation = sets.rows.new_zeros(*shape[:2], len(rates))
    nearest = torch.full(shape[:2], torch.inf, dtype=torch.float64)
    counted = torch.zeros(shape[:2])
    over = torch.zeros(shape[:2], dtype=torch.bool)
    interrupted = False
    try:
        with progress("beside the perceptron", limit) as advance:
            for _ in range(limit):
                step = take_step(sets.rows, weights, margins, both, normalized)
                weights, margins = step.weights, step.margins
                by_column = weights.unflatten(1, shape[1:])
                perceptron = by_column[:, :, -1:]
                apart = (by_column[:, :, :-1] - perceptron).norm(dim=-1) / perceptron.norm(dim=-1)
                deviation = torch.where(over[..., None], deviation, torch.maximum(deviation, apart))
                of_limit = margins.unflatten(1, shape[1:])[:, :, -1]
                nearest = torch.where(over, nearest, torch.minimum(nearest, of_limit.abs().amin(-1)))
                counted += ~over
                over |= (of_limit > 0).all(-1)
                advance(1)
                if over.all():
                    break
    except KeyboardInterrupt:
        if not counted.any():
            raise
        interrupted = True
    told = sets.columns()
    return PerceptronLimit(
        kinds=told["kind"],
        pairs=told["pair"],
        seeds=told["seed"],
        rates=given[:-1].numpy(),
        deviation=by_rule(deviation.flatten(1)),
        nearest=nearest.T.numpy(),
        steps=counted.T.numpy(),
        separated=over.T.numpy(),
        interrupted=interrupted,
    )
