"""``compare_adaptations``: one network adapted in several ways, at several learning rates."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from torch import nn

from workbench.adaptation.fine_tuning import (
    METHOD_COLORS,
    METHODS,
    OPTIMIZERS,
    Optimizer,
    adapted,
    fine_tune,
    trained_count,
)
from workbench.adaptation.tasks import AdaptationTask, load_task
from workbench.choices import check_choice, check_count, check_number
from workbench.progress import progress
from workbench.result import Result, new_axes, student_interval
from workbench.training import accuracy, evaluate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MEASURES = ("train_loss", "validation_loss", "test_loss", "test_accuracy", "step_seconds")
_LOSS = nn.CrossEntropyLoss()


@dataclasses.dataclass(frozen=True, repr=False)
class AdaptationContest(Result):
    """Trainings of one network by several methods, each at every learning rate.

    Attributes
    ----------
    task : str
        What is adapted to.
    methods : tuple of str
        The first is what the others are compared with.
    rates : ndarray (rates,)
        Largest learning rate of each training.
    parameters : tuple of int
        That each method trains.
    values : ndarray (measures, methods, rates, seeds)
        Losses of the examples trained on, of the others of their split and of the held-out split, accuracy on
        the last, and seconds of a step. nan where a training diverged.
    start : ndarray (seeds,)
        Held-out accuracy before adapting.
    rank, examples, epochs : int
        Of the updates, and of the trainings.
    optimizer : str
        ``"adamw"`` or ``"sgd"``.
    interrupted : bool
        Whether there are fewer seeds than were asked for.
    """

    task: str
    methods: tuple[str, ...]
    rates: np.ndarray
    parameters: tuple[int, ...]
    values: np.ndarray
    start: np.ndarray
    rank: int
    examples: int
    epochs: int
    optimizer: str
    interrupted: bool = False

    @property
    def seeds(self) -> int:
        """Number of seeds: of the pretrained network, the examples, their order, and the matrices A."""
        return self.values.shape[-1]

    @property
    def chosen(self) -> dict[str, float]:
        """Rate of each method with the lowest mean validation loss: neither trained on nor held out.

        A rate at which a training diverged is not chosen, unless all did.
        """
        losses = self.values[MEASURES.index("validation_loss")].mean(-1)
        best = np.where(np.isfinite(losses), losses, np.inf).argmin(-1)
        return {method: float(self.rates[place]) for method, place in zip(self.methods, best, strict=True)}

    def mean(self, method: str, measure: str, rate: float | None = None) -> tuple[float, float]:
        """Mean over the seeds at a rate, by default the chosen one, and half its 95 % interval."""
        return student_interval(self._of(method, measure, rate))

    def difference(
        self, method: str, measure: str = "test_accuracy", beside: str | None = None
    ) -> tuple[float, float]:
        """The same of the differences to another method, by default the first, each at its chosen rate.

        Differences are taken seed by seed.
        """
        other = self.methods[0] if beside is None else beside
        return student_interval(self._of(method, measure) - self._of(other, measure))

    def slower(self, method: str) -> np.ndarray:
        """Quartiles (3,) of the time of a step over the first method's, by rates and seeds."""
        seconds = self.values[MEASURES.index("step_seconds")]
        return np.quantile(seconds[self.methods.index(method)] / seconds[0], (0.25, 0.5, 0.75))

    def frame(self) -> pd.DataFrame:
        """One row per method and rate: means over the seeds with half the widths of their 95 % intervals."""
        rows = []
        for method, parameters in zip(self.methods, self.parameters, strict=True):
            for rate in self.rates:
                row: dict[str, object] = {"method": method, "parameters": parameters, "rate": rate}
                row |= {"chosen": rate == self.chosen[method], "seeds": self.seeds}
                for measure in MEASURES:
                    row[measure], row[f"{measure}_ci"] = self.mean(method, measure, rate)
                rows.append(row)
        return pd.DataFrame(rows)

    def plot(
        self,
        ax: "Axes | None" = None,
        measure: str = "test_accuracy",
        limits: Mapping[str, float] | None = None,
    ) -> "Axes":
        """A measure against the learning rate, with 95 % intervals; large points are the chosen rates.

        ``limits`` are learning rates of methods to mark by dashed lines, such as 2/λ.
        """
        ax = new_axes(ax)
        shift = np.linspace(-0.04, 0.04, len(self.methods))  # so that bars do not hide each other
        for method, parameters, by in zip(self.methods, self.parameters, shift, strict=True):
            mean, half = np.array([self.mean(method, measure, rate) for rate in self.rates]).T
            color, x = METHOD_COLORS[method], self.rates * 10**by
            label = f"{method}, {parameters} parameters"
            ax.errorbar(x, mean, half, fmt="o-", markersize=4, color=color, capsize=3, label=label)
            best = self.rates == self.chosen[method]
            ax.plot(x[best], mean[best], "o", markersize=10, color=color)
        for method, limit in (limits or {}).items():
            ax.axvline(limit, color=METHOD_COLORS[method], linestyle="--", linewidth=1)
        if measure == "test_accuracy":
            ax.axhline(self.start.mean(), color="0.5", linestyle=":", label="before adapting")
        ax.set_xscale("log")
        ax.set_xlabel(f"largest learning rate ({self.optimizer})")
        ax.set_ylabel(measure.replace("test", "held-out").replace("_", " "))
        ax.set_title(f"{self.task} digits, {self._effort()}", fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """For each method at its chosen rate: parameters, held-out accuracy and loss, time of a step."""
        lines = []
        for method, parameters in zip(self.methods, self.parameters, strict=True):
            (right, part), (loss, half) = (self.mean(method, name) for name in ("test_accuracy", "test_loss"))
            seconds = self.values[MEASURES.index("step_seconds"), self.methods.index(method)]
            low, middle, high = 1e3 * np.quantile(seconds, (0.25, 0.5, 0.75))
            line = (
                f"{method}: {parameters} parameters, held-out accuracy {right:.3f} ± {part:.2g}, loss "
                f"{loss:.3g} ± {half:.2g} at rate {self.chosen[method]:g}, {middle:.3g} ms a step "
                f"({low:.3g} to {high:.3g})"
            )
            if method != self.methods[0]:
                gain, width = self.difference(method)
                line += f"; accuracy {gain:+.3f} ± {width:.2g} beside {self.methods[0]}"
            lines.append(line)
        note = ", INTERRUPTED before the other seeds" if self.interrupted else ""
        lines.append(
            f"{self.task} digits, accuracy {self.start.mean():.3f} before adapting; rank {self.rank}, "
            f"{self._effort()}, {self.optimizer}, 95 % intervals, quartiles of times{note}"
        )
        return "\n".join(lines)

    def _effort(self) -> str:
        return f"{self.examples} examples, {self.epochs} epochs, {self.seeds} seeds"

    def _of(self, method: str, measure: str, rate: float | None = None) -> np.ndarray:
        check_choice("measure", measure, MEASURES)
        check_choice("method", method, self.methods)
        rate = self.chosen[method] if rate is None else rate
        (places,) = np.nonzero(self.rates == rate)
        if not len(places):
            raise ValueError(f"rate={rate} was not trained at; there are {self.rates.tolist()}")
        return self.values[MEASURES.index(measure), self.methods.index(method), places[0]]


def compare_adaptations(
    task: Literal["turned", "negative"] = "turned",
    methods: Sequence[str] = METHODS,
    rates: Sequence[float] = (0.003, 0.01, 0.03, 0.1),
    *,
    rank: int = 4,
    examples: int = 300,
    epochs: int = 20,
    optimizer: Optimizer = "adamw",
    width: int = 32,
    blocks: int = 2,
    pretraining: int = 30,
    seeds: int = 4,
) -> AdaptationContest:
    """Adapt a digits transformer to changed digits by each method, at each learning rate.

    The network is trained on upright digits; of those turned by a quarter, or in negative, it first knows
    next to nothing. All methods start from the same network and see the same examples in the same order.

    Parameters
    ----------
    task : {"turned", "negative"}
        What is done to the images.
    methods : sequence of {"full", "lora", "dora", "dora-exact"}
        All parameters; LoRA, or DoRA, in all linear layers; DoRA with its norm differentiated. The first is
        what the others are compared with.
    rates : sequence of float
        Largest learning rates, positive; each method is trained at all of them.
    rank : int
        Of the updates.
    examples : int
        Of the 1437 of the training split; the others choose the rate.
    epochs : int
        Passes over these examples.
    optimizer : {"adamw", "sgd"}
        AdamW without decay, or gradient descent on minibatches without momentum.
    width, blocks, pretraining : int
        Channels and blocks of the transformer, and passes over upright digits.
    seeds : int
        0, 1, …: each a pretrained network, a draw of examples and an order of its own.

    Returns
    -------
    AdaptationContest
        An interrupt (Ctrl-C) returns the seeds for which all was trained.

    Raises
    ------
    TypeError, ValueError
        If a name is unknown, there is no method or no rate, or a number is out of range.

    Notes
    -----
    Cost: ``seeds * len(methods) * len(rates) * epochs`` passes forward and backward over the examples, and
    the pretraining, unless it is in the cache.
    """
    _check(methods, rates)
    check_choice("optimizer", optimizer, OPTIMIZERS)
    for name, count in (("rank", rank), ("epochs", epochs), ("seeds", seeds)):
        check_count(name, count)
    found: list[np.ndarray] = []
    start: list[float] = []
    parameters: tuple[int, ...] = ()
    interrupted = False
    size = {"examples": examples, "width": width, "blocks": blocks, "pretraining": pretraining}
    try:
        with progress("adaptations compared", seeds * len(methods) * len(rates)) as advance:
            for seed in range(seeds):
                loaded = load_task(task, seed=seed, **size)
                values = np.empty((len(MEASURES), len(methods), len(rates)))
                for column, rate in enumerate(rates):  # methods take turns: a busy machine slows all
                    networks = [adapted(loaded.network, method, rank, seed) for method in methods]
                    parameters = tuple(trained_count(network) for network in networks)
                    for row, network in enumerate(networks):
                        seconds = fine_tune(
                            network, loaded.train, optimizer=optimizer, rate=rate, epochs=epochs, seed=seed
                        )
                        values[:, row, column] = (*_measure(network, loaded), seconds)
                        advance(1)
                start.append(_accuracy(loaded.network, loaded))
                found.append(values)
    except KeyboardInterrupt:
        if not found:
            raise
        interrupted = True
    return AdaptationContest(
        task=task,
        methods=tuple(methods),
        rates=np.array(rates, dtype=float),
        parameters=parameters,
        values=np.stack(found, axis=-1),
        start=np.array(start[: len(found)]),
        rank=rank,
        examples=examples,
        epochs=epochs,
        optimizer=optimizer,
        interrupted=interrupted,
    )


def _check(methods: Sequence[str], rates: Sequence[float]) -> None:
    if not methods:
        raise ValueError(f"methods is empty: name some of {', '.join(METHODS)}")
    for method in methods:
        check_choice("methods", method, METHODS)
    if not len(rates):
        raise ValueError("rates is empty: pass at least one")
    for rate in rates:
        check_number("rates", rate, above=0, below=np.inf)


def _measure(network: nn.Module, task: AdaptationTask) -> tuple[float, ...]:
    """All measures but the time; nan where a loss is not finite."""
    splits = (task.train, task.validation, task.test)
    losses = [evaluate(network, [split], {"loss": _LOSS})["loss"] for split in splits]
    values = (*losses, _accuracy(network, task))
    return values if np.isfinite(losses).all() else (np.nan,) * len(values)


def _accuracy(network: nn.Module, task: AdaptationTask) -> float:
    return evaluate(network, [task.test], {"accuracy": accuracy})["accuracy"]
