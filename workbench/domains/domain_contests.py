"""``compare_domains``: methods that align environments, and how they do in one that they have not seen."""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from workbench.choices import check_choice, check_count, check_number
from workbench.colors import BLUE, GREEN, ORANGE, SKY, VERMILION
from workbench.domains.environments import SHIFTS, Environments, make_environments
from workbench.domains.heads import head_hessian
from workbench.domains.penalties import PENALTIES, HeadState
from workbench.domains.stacked_networks import StackedNetworks
from workbench.domains.stacked_training import head_state, stacked, train_stacked
from workbench.progress import progress
from workbench.result import Result, new_axes, student_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

METHODS = tuple(PENALTIES)
# By what is matched: features, risks, gradients, Hessians.
METHOD_COLORS = dict(
    zip(METHODS, ("#888888", SKY, ORANGE, ORANGE, GREEN, GREEN, VERMILION, BLUE), strict=True)
)
WEIGHTS = (10.0, 100.0, 1000.0, 10000.0)
MEASURES = ("train_accuracy", "validation_accuracy", "test_accuracy", "head_distance")
# Whose mean over the seeds is highest: examples kept aside in the training environments, or the test itself.
SELECTIONS = {"validation": "validation_accuracy", "oracle": "test_accuracy"}


@dataclasses.dataclass(frozen=True, repr=False)
class DomainContest(Result):
    """Trainings by several methods, each at every weight, from the same starts on the same examples.

    Attributes
    ----------
    shift : str
        ``"correlation"``, ``"label"`` or ``"diversity"``.
    names : tuple of str
        Of the training environments and the test environment.
    methods : tuple of str
        The first is what the others are compared with.
    weights : ndarray (weights,)
        Of the penalties; the roots of their ratios multiply the decay of ERM.
    values : ndarray (measures, methods, weights, seeds)
        Accuracy on the training environments, on examples of theirs that were kept aside, on the test
        environment; and distance of the head's Hessians of training and test, in the spectral norm, over the
        larger of their norms. nan where a training diverged.
    width, steps, examples : int
        Units of a hidden layer, steps, and examples of all training environments.
    interrupted : bool
        Whether there are fewer methods than were asked for.

    Notes
    -----
    Intervals are over starts and environments of the same digits, those of the test the same for all seeds:
    how far other digits would be from these is not in them.
    """

    shift: str
    names: tuple[str, ...]
    methods: tuple[str, ...]
    weights: np.ndarray
    values: np.ndarray
    width: int
    steps: int
    examples: int
    interrupted: bool = False

    @property
    def seeds(self) -> int:
        """Number of seeds: of the start, and of the environments."""
        return self.values.shape[-1]

    def chosen(self, method: str, selection: str = "validation") -> float:
        """Weight with the highest mean accuracy on what selects; where some diverged, of the others."""
        check_choice("selection", selection, tuple(SELECTIONS))
        means = self._of(method, SELECTIONS[selection]).mean(-1)
        return float(self.weights[np.where(np.isfinite(means), means, -np.inf).argmax()])

    def mean(
        self, method: str, measure: str = "test_accuracy", selection: str = "validation"
    ) -> tuple[float, float]:
        """Mean over the seeds at the weight that was chosen, and half its 95 % interval (Student's)."""
        return student_interval(self._chosen_values(method, measure, selection))

    def difference(
        self,
        method: str,
        measure: str = "test_accuracy",
        selection: str = "validation",
        beside: str | None = None,
    ) -> tuple[float, float]:
        """The same of the differences to another method, by default the first, each at its chosen weight.

        Differences are taken seed by seed.
        """
        other = self._chosen_values(beside or self.methods[0], measure, selection)
        return student_interval(self._chosen_values(method, measure, selection) - other)

    def at(self, method: str, measure: str, weight: float) -> tuple[float, float]:
        """Mean over the seeds at one of the weights, and half its 95 % interval.

        Raises
        ------
        ValueError
            If a name is unknown, or the weight is none of :attr:`weights`.
        """
        if weight not in self.weights:
            raise ValueError(
                f"weight={weight!r} is none of {', '.join(f'{each:g}' for each in self.weights)}"
            )
        return student_interval(self._of(method, measure)[list(self.weights).index(weight)])

    def frame(self) -> pd.DataFrame:
        """One row per method and weight: means over the seeds with half their 95 % intervals."""
        rows = []
        for method in self.methods:
            for weight in self.weights:
                row: dict[str, object] = {"method": method, "weight": weight, "seeds": self.seeds}
                row |= {f"{name}_choice": weight == self.chosen(method, name) for name in SELECTIONS}
                for measure in MEASURES:
                    row[measure], row[f"{measure}_ci"] = self.at(method, measure, weight)
                rows.append(row)
        return pd.DataFrame(rows)

    def plot(self, ax: "Axes | None" = None, measure: str = "test_accuracy") -> "Axes":
        """A measure by both choices of the weight: seeds as points, means with 95 % intervals."""
        ax = new_axes(ax)
        for place, method in enumerate(self.methods):
            for selection, shift in (("validation", -0.15), ("oracle", 0.15)):
                values = self._chosen_values(method, measure, selection)
                mean, half = student_interval(values)
                marker = "o" if selection == "validation" else "D"
                color, x = METHOD_COLORS[method], place + shift
                ax.plot(np.full(len(values), x), values, ".", color=color, alpha=0.4)
                fill = color if selection == "validation" else "white"
                ax.errorbar(x, mean, half, fmt=marker, color=color, markerfacecolor=fill, capsize=4)
        ax.plot([], [], "o", color="0.4", label="weight chosen in the training environments")
        ax.plot([], [], "D", color="0.4", markerfacecolor="white", label="weight chosen on the test (oracle)")
        ax.set_xticks(range(len(self.methods)), self.methods)
        ax.set_ylabel(measure.replace("_", " "))
        ax.set_title(f"{self.shift} shift, test: {self.names[-1]}, {self.seeds} seeds", fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """For each method: test accuracy by both choices, difference to the first, and what was trained."""
        lines = []
        for method in self.methods:
            parts = []
            for selection in SELECTIONS:
                right, half = self.mean(method, "test_accuracy", selection)
                part = f"{right:.3f} ± {half:.2g} by {selection} (weight {self.chosen(method, selection):g}"
                if method != self.methods[0]:
                    more, width = self.difference(method, "test_accuracy", selection)
                    part += f", {more:+.3f} ± {width:.2g} beside {self.methods[0]}"
                parts.append(f"{part})")
            lines.append(f"{method}: test accuracy {'; '.join(parts)}")
        note = ", INTERRUPTED before the other methods" if self.interrupted else ""
        lines.append(
            f"{self.shift} shift, {' | '.join(self.names)} (the last is the test), {self.examples} examples, "
            f"width {self.width}, {self.steps} steps, {len(self.weights)} weights, {self.seeds} seeds, 95 % "
            f"intervals over starts and environments of the same digits{note}"
        )
        return "\n".join(lines)

    def _chosen_values(self, method: str, measure: str, selection: str) -> np.ndarray:
        weight = self.chosen(method, selection)
        return self._of(method, measure)[list(self.weights).index(weight)]

    def _of(self, method: str, measure: str) -> np.ndarray:
        check_choice("measure", measure, MEASURES)
        check_choice("method", method, self.methods)
        return self.values[MEASURES.index(measure), self.methods.index(method)]


def compare_domains(
    shift: str = "correlation",
    methods: Sequence[str] = METHODS,
    *,
    weights: Sequence[float] = WEIGHTS,
    width: int = 32,
    steps: int = 200,
    seeds: int = 5,
) -> DomainContest:
    """Train a small network by each method, from the same seeds, and test it where it was not trained.

    As many trainings of a method as fit into a cache are one tensor program; see
    :func:`~workbench.domains.stacked_training.train_stacked` for what is minimised. Each method gets as many
    weights, and nothing else is tuned.

    Parameters
    ----------
    shift : {"correlation", "label", "diversity"}
        What differs between environments: see :func:`~workbench.domains.environments.make_environments`.
    methods : sequence of {"erm", "coral", "irm", "vrex", "gradient", "fishr", "hgp", "hessian"}
        The one to compare with first: see :mod:`workbench.domains.penalties`.
    weights : sequence of float
        Of the penalties, positive, the same for all methods.
    width, steps : int
        Units of both hidden layers, and steps of Adam on all examples.
    seeds : int
        0, 1, …: each a start and a draw of the environments.

    Returns
    -------
    DomainContest
        An interrupt (Ctrl-C) returns the methods that were trained.

    Raises
    ------
    TypeError, ValueError
        If a name is unknown, there is no method or no weight, or a number is out of range.

    Notes
    -----
    Cost: ``len(methods) * len(weights) * seeds * steps`` passes forward and backward over all training
    examples; the penalties add products of the size of the last layer.
    """
    check_choice("shift", shift, SHIFTS)
    if not methods:
        raise ValueError(f"methods is empty: name some of {', '.join(METHODS)}")
    for method in methods:
        check_choice("methods", method, METHODS)
    if not len(weights):
        raise ValueError("weights is empty: pass at least one")
    for weight in weights:
        check_number("weights", weight, above=0, below=math.inf)
    for name, count in (("width", width), ("steps", steps), ("seeds", seeds)):
        check_count(name, count)
    drawn = [make_environments(shift, seed) for seed in range(seeds)]
    found: list[np.ndarray] = []
    interrupted = False
    try:
        with progress("domains compared", len(methods) * len(weights) * seeds * steps) as advance:
            for method in methods:
                networks = train_stacked(
                    method, drawn, range(seeds), weights, width=width, steps=steps, advance=advance
                )
                found.append(_measure(networks, drawn, len(weights)))
    except KeyboardInterrupt:
        if not found:
            raise
        interrupted = True
    return DomainContest(
        shift=shift,
        names=drawn[0].names,
        methods=tuple(methods)[: len(found)],
        weights=np.array(weights, dtype=float),
        values=np.stack(found, axis=1),
        width=width,
        steps=steps,
        examples=drawn[0].train[1].numel(),
        interrupted=interrupted,
    )


def _measure(networks: StackedNetworks, drawn: Sequence[Environments], weights: int) -> np.ndarray:
    """All measures (measures, weights, seeds), of one network at a time: its Hessians are large."""
    rows = [
        _measure_one(networks.only(weight * len(drawn) + place), each)
        for weight in range(weights)
        for place, each in enumerate(drawn)
    ]
    return np.array(rows).T.reshape(len(MEASURES), weights, len(drawn))


def _measure_one(network: StackedNetworks, drawn: Environments) -> list[float]:
    """All measures; nan where outputs are not finite."""
    inputs, targets = drawn.test
    train, validation, test = (
        head_state(network, *stacked([part]))
        for part in (drawn.train, drawn.validation, (inputs[None], targets[None]))
    )
    if not all(state.logits.isfinite().all() for state in (train, validation, test)):
        return [math.nan] * len(MEASURES)
    return [*map(_accuracy, (train, validation, test)), _distance(train, test)]


def _accuracy(state: HeadState) -> float:
    return float((state.logits.argmax(-1) == state.targets).double().mean())


def _distance(train: HeadState, test: HeadState) -> float:
    """Distance of one head's Hessians in the spectral norm, over the larger of their norms."""
    hessians = [
        head_hessian(state.features.flatten(0, 2).double(), state.logits.flatten(0, 2).double())
        for state in (train, test)
    ]
    norms = [torch.linalg.eigvalsh(each).abs().max() for each in (*hessians, hessians[0] - hessians[1])]
    return float(norms[2] / max(norms[:2]))
