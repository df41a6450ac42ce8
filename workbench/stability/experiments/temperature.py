"""``temperature_onsets``: whether dividing by the radius makes the onsets at all temperatures one."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn

from workbench.choices import check_choice, check_count
from workbench.colors import BLUE, SKY, VERMILION
from workbench.problems.datasets import Dataset
from workbench.progress import progress
from workbench.result import Result, new_axes
from workbench.stability.experiments.digits_training import problem_of, train_steps
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
from workbench.stability.experiments.log_means import log_mean
from workbench.stability.experiments.networks import digits

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PROTOCOLS = ("one model", "retrained")
SCALES = ("raw", "spread", "majority", "exact")
_LABELS = {"raw": "distance", "spread": "/ ρₐ", "majority": "/ majority bound", "exact": "/ ρ*"}
_COLORS = {"raw": VERMILION, "spread": SKY, "majority": BLUE, "exact": "black"}


class _Run(NamedTuple):
    protocol: str
    temperature: float
    seed: int
    descent: Descent


@dataclasses.dataclass(frozen=True, repr=False)
class TemperatureOnsets(Result):
    """Where a step down the gradient of the loss at a temperature stops holding.

    Attributes
    ----------
    protocol : tuple of str (runs,)
        ``"one model"``, trained once at temperature 1, or ``"retrained"`` at each temperature.
    temperature : ndarray (runs,)
        T: the loss is that of the logits over T.
    seed : ndarray (runs,) of int
        Of the split, the weights and the batches.
    spread, majority, exact : ndarray (runs,)
        Radii along the gradient, in the parameters.
    loss_onset, accuracy_onset : ndarray (runs,)
        Distance at which the loss has doubled, and the accuracy halved; inf if neither happens.
    start_accuracy : ndarray (runs,)
        At distance 0.
    longest : float
        How far was looked, in ``spread`` radii.
    steps : int
        Of each training.
    interrupted : bool
        Whether runs are missing.
    """

    protocol: tuple[str, ...]
    temperature: np.ndarray
    seed: np.ndarray
    spread: np.ndarray
    majority: np.ndarray
    exact: np.ndarray
    loss_onset: np.ndarray
    accuracy_onset: np.ndarray
    start_accuracy: np.ndarray
    longest: float
    steps: int
    interrupted: bool = False

    def frame(self) -> pd.DataFrame:
        """One row per run."""
        names = ("temperature", "seed", "spread", "majority", "exact", "loss_onset", "accuracy_onset")
        columns = {name: getattr(self, name) for name in (*names, "start_accuracy")}
        return pd.DataFrame({"protocol": self.protocol} | columns)

    def in_units(self, of: str = "loss", scale: str = "raw") -> np.ndarray:
        """Onsets (runs,) of ``"loss"`` or ``"accuracy"``, as distances or in one of the radii."""
        check_choice("of", of, ("loss", "accuracy"))
        check_choice("scale", scale, SCALES)
        onsets = self.loss_onset if of == "loss" else self.accuracy_onset
        return onsets if scale == "raw" else onsets / getattr(self, scale)

    def spreads(self) -> pd.DataFrame:
        """How far apart the onsets at different temperatures are, by protocol, onset and unit.

        ``std`` is the standard deviation of the onsets' decimal logarithm over the temperatures, the
        geometric mean over the seeds, with its 95% interval (nan for one seed). ``smallest`` is the smallest
        onset of all. Runs without an onset are in neither; ``reached`` counts the others.
        """
        rows = []
        present = [each for each in PROTOCOLS if each in self.protocol]
        for protocol, of, scale in itertools.product(present, ("loss", "accuracy"), SCALES):
            values = self.in_units(of, scale)
            chosen = (np.array(self.protocol) == protocol) & np.isfinite(values)
            by_seed = [np.log10(values[chosen & (self.seed == seed)]) for seed in np.unique(self.seed)]
            mean = log_mean(np.array([logs.std(ddof=1) for logs in by_seed if len(logs) > 1]))
            rows.append(
                {
                    "protocol": protocol,
                    "onset": of,
                    "scale": scale,
                    "std": mean.mean,
                    "std_low": mean.low,
                    "std_high": mean.high,
                    "smallest": values[chosen].min(initial=np.inf),
                    "reached": int(chosen.sum()),
                }
            )
        return pd.DataFrame(rows)

    def spread_of(self, protocol: str, of: str, scale: str) -> float:
        """One ``std`` of :meth:`spreads`."""
        check_choice("protocol", protocol, PROTOCOLS)
        table = self.spreads()
        row = (table["protocol"] == protocol) & (table["onset"] == of) & (table["scale"] == scale)
        return float(table["std"][row].iloc[0])

    def plot(self, ax: "Axes | None" = None, protocol: str = "one model", of: str = "loss") -> "Axes":
        """Onsets against the temperature, as distances and in the radii; level is what the claim says."""
        check_choice("protocol", protocol, PROTOCOLS)
        ax = new_axes(ax)
        chosen = np.array(self.protocol) == protocol
        for scale in SCALES if chosen.any() else ():
            ax.plot(self.temperature[chosen], self.in_units(of, scale)[chosen], "o", color=_COLORS[scale],
                    markersize=4, alpha=0.7,
                    label=f"{_LABELS[scale]}, std {self.spread_of(protocol, of, scale):.2g}")  # fmt: skip
        ax.axhline(1, color="black", linestyle="--", linewidth=1)
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        ax.set_xlabel("temperature T")
        ax.set_ylabel("loss doubled at" if of == "loss" else "accuracy halved at")
        ax.set_title(f"{protocol}; std of log10 over T, mean over seeds", fontsize="small")
        ax.legend(fontsize="x-small")
        return ax

    def summary(self) -> str:
        """Spread of the onsets in each unit, the smallest onset, and what was left out."""
        note = ", INTERRUPTED" if self.interrupted else ""
        lines = [f"{len(self.seed)} runs at {len(np.unique(self.temperature))} temperatures{note}"]
        for names, rows in self.spreads().groupby(["protocol", "onset"], sort=False):
            protocol, of = map(str, names)
            units = ", ".join(
                f"{_LABELS[str(row.scale)]} {row.std:.3g} [{row.std_low:.3g}, {row.std_high:.3g}]"
                for row in rows.itertuples(index=False)
            )
            smallest = rows.set_index("scale")["smallest"]
            lines.append(
                f"{protocol}, {of}: std of log10 onset {units}; smallest {smallest['spread']:.3g} ρₐ, "
                f"{smallest['exact']:.3g} ρ*; {rows['reached'].iloc[0]} onsets"
            )
        lines.append("[95% interval over seeds]")
        return "\n".join(lines)


def temperature_onsets(
    temperatures: Sequence[float] = (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64),
    *,
    protocols: Sequence[str] = PROTOCOLS,
    seeds: Sequence[int] = (0, 1, 2),
    points: int = 81,
    examples: int = 1437,
    steps: int = 120,
) -> TemperatureOnsets:
    """Find where a step down the gradient doubles the loss or halves the accuracy, over the temperature.

    A perceptron with two hidden layers of 128 units and GELU, trained by Adam at 0.01 in batches of 256. The
    loss and its gradient are those of the logits over T. Decisions do not depend on T, the radius does.

    Parameters
    ----------
    temperatures : sequence of float
        At least two, above 0.
    protocols : sequence of str
        ``"one model"``: the same network, trained at temperature 1, at all of them; ``"retrained"``: trained
        at each.
    seeds : sequence of int
        Of the split, the weights and the batches.
    points : int
        Distances, at least 5, from 0.01 to 100 radii, equally far apart in their logarithm.
    examples : int
        Of the training split, on which everything is measured.
    steps : int
        Of each training.

    Returns
    -------
    TemperatureOnsets
        An interrupt (Ctrl-C) returns the runs that were done.

    Raises
    ------
    ValueError
        If a name is unknown or a number out of range.

    Notes
    -----
    Cost: for each run a gradient, a forward-mode pass and a forward pass for each distance, and the training.

    Source: Sao, "Ghosts of softmax", arXiv:2603.13552, whose code retrains at each temperature.
    """
    _check(temperatures, protocols, seeds, examples, steps)
    ratio = log_grid(points)
    runs: list[_Run] = []
    interrupted = False
    jobs = list(itertools.product(protocols, seeds))
    try:
        with progress("temperatures", len(jobs) * len(temperatures)) as advance:
            for protocol, seed in jobs:
                data = digits(seed)
                at_one = _train(data, seed, steps, 1.0)
                for temperature in map(float, temperatures):
                    retrain = protocol == "retrained" and temperature != 1
                    model = _train(data, seed, steps, temperature) if retrain else at_one
                    problem = problem_of(model, data, examples, temperature)
                    descent = descend(problem, unit_gradient(problem), ratio)
                    runs.append(_Run(protocol, temperature, seed, descent))
                    advance(1, f"{protocol}, T = {temperature:g}")
    except KeyboardInterrupt:
        if not runs:
            raise
        interrupted = True
    return TemperatureOnsets(
        protocol=tuple(run.protocol for run in runs),
        temperature=np.array([run.temperature for run in runs]),
        seed=np.array([run.seed for run in runs]),
        loss_onset=np.array([_loss_onset(run.descent) for run in runs]),
        accuracy_onset=np.array([_accuracy_onset(run.descent) for run in runs]),
        start_accuracy=np.array([run.descent.walk.start_accuracy for run in runs]),
        longest=float(ratio[-1]),
        steps=steps,
        interrupted=interrupted,
        **radii_columns(run.descent for run in runs),
    )


def _loss_onset(descent: Descent) -> float:
    return onset(descent.distances, descent.walk.loss_ratio, DOUBLED)


def _accuracy_onset(descent: Descent) -> float:
    lost = 1 - descent.walk.accuracy / descent.walk.start_accuracy
    return onset(descent.distances, lost, 1 - HALVED)


def _train(data: Dataset, seed: int, steps: int, temperature: float) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Sequential(
            nn.Linear(64, 128), nn.GELU(), nn.Linear(128, 128), nn.GELU(), nn.Linear(128, 10)
        )
    training = train_steps(model, data, rate=1e-2, batch_size=256, seed=seed, temperature=temperature)
    for _ in range(steps):
        next(training)
    return model


def _check(
    temperatures: Sequence[float], protocols: Sequence[str], seeds: Sequence[int], examples: int, steps: int
) -> None:
    check_count("number of temperatures", len(temperatures), low=2)
    check_count("number of seeds", len(seeds))
    check_count("examples", examples, low=10, high=1437)
    check_count("steps", steps)
    if isinstance(protocols, str) or not len(protocols):
        raise ValueError(f"protocols={protocols!r}: pass a list of at least one")
    for protocol in protocols:
        check_choice("protocol", protocol, PROTOCOLS)
    for temperature in temperatures:
        if not 0 < temperature < np.inf:
            raise ValueError(f"temperature={temperature} is out of range: it must be positive and finite")
