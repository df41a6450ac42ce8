"""``RateSweep``: what minima SGD and gradient descent find at each learning rate, for models of few lines."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from workbench.choices import check_count
from workbench.colors import BLUE, VERMILION
from workbench.progress import progress
from workbench.random_vectors import generator
from workbench.result import Result, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

METHODS = ("sgd", "gd")
WARM_UP = 0.5  # part of the steps over which the learning rate rises from 0
_LABELS = {"sgd": "SGD, batch size 1", "gd": "gradient descent"}
_ENDINGS = {"mean": "", "sem": "_stderr"}
_COLORS = {"sgd": VERMILION, "gd": BLUE}
Tensors = dict[str, Tensor]


@dataclasses.dataclass(frozen=True)
class Task:
    """A model with its data, for several runs at once: all tensors have the runs as first dimension.

    Attributes
    ----------
    inputs, targets : Tensor (runs, n, d) and (runs, n)
        Training examples; the loss is half the mean squared error.
    start : dict of str to Tensor (runs, ...)
        Parameters before the training.
    predict : callable
        ``predict(parameters, inputs) -> outputs (runs, n)``.
    trace : callable
        ``trace(parameters, inputs) -> (runs,)``: trace of the Hessian where the examples are fitted.
    norm : callable
        ``norm(parameters) -> (runs,)``: the norm that flat minima keep small.
    truth : dict of str to Tensor (runs, ...)
        What the test error is measured against.
    test_error : callable
        ``test_error(parameters, truth) -> (runs,)``: mean squared error on new examples.
    norm_name : str
        For pictures.
    """

    inputs: Tensor
    targets: Tensor
    start: Tensors
    predict: Callable[[Tensors, Tensor], Tensor]
    trace: Callable[[Tensors, Tensor], Tensor]
    norm: Callable[[Tensors], Tensor]
    truth: Tensors
    test_error: Callable[[Tensors, Tensors], Tensor]
    norm_name: str


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class RateSweep(Result):
    """Minima by method (SGD with one example, gradient descent), for r learning rates and k seeds.

    Attributes
    ----------
    model : str
        For titles.
    norm_name : str
        What ``norm`` is.
    learning_rates : ndarray (r,)
        Ascending.
    seeds : tuple of int
        Of data, weights and batches.
    loss, trace, largest, norm, test_error : ndarray (2, r, k)
        At the end, by method in the order of ``METHODS``: training loss, trace and largest eigenvalue of the
        Hessian where the examples are fitted, norm, mean squared error on new examples; nan where a run
        diverged.
    tolerance : float
        Loss up to which a run counts as one that fits the examples.
    steps : tuple of int
        Of SGD and of gradient descent.
    """

    model: str
    norm_name: str
    learning_rates: np.ndarray
    seeds: tuple[int, ...]
    loss: np.ndarray
    trace: np.ndarray
    largest: np.ndarray
    norm: np.ndarray
    test_error: np.ndarray
    tolerance: float
    steps: tuple[int, int]

    @property
    def fits(self) -> np.ndarray:
        """Which runs count (2, r, k)."""
        return self.loss <= self.tolerance

    def frame(self) -> pd.DataFrame:
        """One row per run."""
        method, rate, run = (part.ravel() for part in np.indices(self.loss.shape))
        names = ("loss", "trace", "largest", "norm", "test_error")
        return pd.DataFrame(
            {
                "method": np.array(METHODS)[method],
                "learning_rate": self.learning_rates[rate],
                "seed": np.array(self.seeds)[run],
                "fits": self.fits.ravel(),
            }
            | {name: getattr(self, name).ravel() for name in names}
        )

    def by_rate(self) -> pd.DataFrame:
        """One row per method and learning rate: means and standard errors over the seeds that fit."""
        frame = self.frame()
        keys = ["method", "learning_rate"]
        names = ["trace", "largest", "norm", "test_error"]
        counted = frame[frame["fits"]].groupby(keys)[names].agg(["mean", "sem"])
        counted.columns = [f"{each[0]}{_ENDINGS[each[1]]}" for each in counted.columns]
        runs = frame.groupby(keys)["fits"].agg(runs="size", fit="sum")
        return runs.join(counted).reset_index()

    def plot(self, ax: "Axes | None" = None, quantity: str = "trace") -> "Axes":
        """Draw the means over seeds of one column of :meth:`by_rate` with two standard errors."""
        ax = new_axes(ax)
        means = self.by_rate()
        for method in METHODS:
            part = means[(means["method"] == method) & (means["fit"] > 0)]
            ax.errorbar(
                part["learning_rate"],
                part[quantity],
                2 * part[f"{quantity}_stderr"].fillna(0),
                fmt="o-",
                color=_COLORS[method],
                capsize=3,
                label=_LABELS[method],
            )
        if quantity in ("trace", "largest"):
            word = "tr H" if quantity == "trace" else "λ"
            ax.plot(self.learning_rates, 2 / self.learning_rates, "--", color="0.4", label=f"{word} = 2/η")
            ax.set_yscale("log")
        ax.set_xscale("log")
        ax.set_xticks(self.learning_rates, [f"{rate:.3g}" for rate in self.learning_rates])
        ax.minorticks_off()
        ax.set_xlabel("learning rate η")
        labels = {"trace": "trace of the Hessian", "largest": "largest eigenvalue", "norm": self.norm_name}
        ax.set_ylabel(labels.get(quantity, "mean squared error on new examples"))
        ax.set_title(self.model, fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def change(self, method: str, quantity: str) -> tuple[float, float]:
        """Ratio of a quantity at the largest to that at the smallest learning rate, and its standard error.

        Each over the seeds that fit at both; nan if fewer than two do.
        """
        place = METHODS.index(method)
        usable = self.fits[place].sum(1) > 1
        if usable.sum() < 2:
            return np.nan, np.nan
        low, high = np.flatnonzero(usable)[[0, -1]]
        both = self.fits[place, low] & self.fits[place, high]
        values = getattr(self, quantity)[place]
        ratios = np.log(values[high, both] / values[low, both])
        if len(ratios) < 2:
            return np.nan, np.nan
        mean = float(np.exp(ratios.mean()))
        return mean, mean * float(ratios.std(ddof=1) / np.sqrt(len(ratios)))

    def summary(self) -> str:
        """How trace, norm and error change from the smallest to the largest learning rate, by method."""
        lines = []
        for place, method in enumerate(METHODS):
            words = []
            for name, word in (("trace", "trace"), ("norm", self.norm_name), ("test_error", "test error")):
                ratio, error = self.change(method, name)
                words.append(f"{word} × {ratio:.2f} ± {error:.2f}")
            fitted, runs = int(self.fits[place].sum()), self.fits[place].size
            lines.append(
                f"{_LABELS[method]}, smallest to largest η: {', '.join(words)}; {fitted} of {runs} runs fit"
            )
        return "\n".join(lines) + f"\nsteps: {self.steps[0]} of SGD, {self.steps[1]} of gradient descent"


def sweep_rates(
    model: str,
    make: Callable[[int], Task],
    learning_rates: Sequence[float],
    seeds: Sequence[int],
    sgd_steps: int,
    gd_steps: int,
    tolerance: float,
) -> RateSweep:
    """Train a model at each learning rate from each seed, all runs side by side.

    The learning rate rises linearly over the first half of the steps and is constant after that.

    Parameters
    ----------
    make : callable
        ``make(seed) -> Task`` of one run.
    """
    check_count("number of seeds", len(seeds))
    check_count("sgd_steps", sgd_steps, low=1)
    check_count("gd_steps", gd_steps, low=1)
    rates = sorted({float(rate) for rate in learning_rates})
    if not rates or not 0 < rates[0] <= rates[-1] < np.inf:
        raise ValueError(f"learning_rates={list(learning_rates)} are out of range: they must be positive")
    task = _side_by_side([make(seed) for seed in seeds], len(rates))
    rate = torch.tensor(rates, dtype=torch.float64).repeat_interleave(len(seeds))
    batches = [generator(seed) for seed in seeds]
    shape = len(METHODS), len(rates), len(seeds)
    found = {name: np.full(shape, np.nan) for name in ("loss", "trace", "largest", "norm", "test_error")}
    with progress(model, sgd_steps + gd_steps) as advance:
        for place, steps in enumerate((sgd_steps, gd_steps)):
            draw = batches if METHODS[place] == "sgd" else None
            parameters = _train(task, rate, steps, draw, len(rates), advance)
            for name, values in _describe(task, parameters).items():
                found[name][place] = values.reshape(shape[1:]).numpy()
    return RateSweep(
        model=model,
        norm_name=task.norm_name,
        learning_rates=np.array(rates),
        seeds=tuple(seeds),
        tolerance=tolerance,
        steps=(sgd_steps, gd_steps),
        **found,
    )


def _side_by_side(tasks: Sequence[Task], copies: int) -> Task:
    """Join the tasks of single runs into one of all, each repeated for every learning rate."""

    def joined(tensors: Sequence[Tensor]) -> Tensor:
        return torch.cat(list(tensors)).repeat(copies, *[1] * (tensors[0].dim() - 1))

    first = tasks[0]
    return dataclasses.replace(
        first,
        inputs=joined([task.inputs for task in tasks]),
        targets=joined([task.targets for task in tasks]),
        start={name: joined([task.start[name] for task in tasks]) for name in first.start},
        truth={name: joined([task.truth[name] for task in tasks]) for name in first.truth},
    )


def _train(
    task: Task,
    rate: Tensor,
    steps: int,
    batches: Sequence[torch.Generator] | None,
    copies: int,
    advance: Callable[[int], object],
) -> Tensors:
    """Steps of gradient descent, or with generators of SGD with one example a step."""
    parameters = {name: tensor.clone().requires_grad_() for name, tensor in task.start.items()}
    runs, n = task.targets.shape
    every_run = torch.arange(runs)[:, None]
    for step in range(steps):
        inputs, targets = task.inputs, task.targets
        if batches is not None:
            drawn = torch.stack([torch.randint(n, (1,), generator=each) for each in batches]).repeat(
                copies, 1
            )
            inputs, targets = inputs[every_run, drawn], targets[every_run, drawn]
        loss = (task.predict(parameters, inputs) - targets).square().mean(1).sum() / 2
        slopes = torch.autograd.grad(loss, list(parameters.values()))
        now = rate * min(1.0, (step + 1) / (WARM_UP * steps))
        with torch.no_grad():
            for tensor, slope in zip(parameters.values(), slopes, strict=True):
                tensor -= now.view(-1, *[1] * (slope.dim() - 1)) * slope
        if step % 100 == 99:
            advance(100)
    return parameters


def _describe(task: Task, parameters: Tensors) -> Tensors:
    """What is said of each run, (runs,) each."""
    outputs = task.predict(parameters, task.inputs)
    loss = (outputs - task.targets).square().mean(1).detach() / 2
    found = {
        "loss": torch.where(loss.isfinite(), loss, torch.nan),
        "largest": _largest(outputs, parameters),
        "trace": task.trace(parameters, task.inputs).detach(),
        "norm": task.norm(parameters).detach(),
        "test_error": task.test_error(parameters, task.truth).detach(),
    }
    return {name: torch.where(loss.isfinite(), values, torch.nan) for name, values in found.items()}


def example_slopes(outputs: Tensor, parameters: Tensors) -> Tensor:
    """Gradients (runs, n, m) of single outputs (runs, n) in all parameters of their run."""
    rows = []
    for column in outputs.T:
        slopes = torch.autograd.grad(column.sum(), list(parameters.values()), retain_graph=True)
        rows.append(torch.cat([slope.flatten(1) for slope in slopes], dim=1))
    return torch.stack(rows, dim=1)


def _largest(outputs: Tensor, parameters: Tensors) -> Tensor:
    """Largest eigenvalue of the Gauss-Newton matrix, from the Gram matrix of the examples' gradients."""
    rows = example_slopes(outputs, parameters)
    gram = rows @ rows.mT / outputs.shape[1]
    finite = gram.isfinite().all(-1).all(-1)
    values = torch.linalg.eigvalsh(torch.where(finite[:, None, None], gram, 0.0))[:, -1]
    return torch.where(finite, values, torch.nan)
