"""``adaptation_curvature``: how curved the loss is in the parameters that a method trains."""

import copy
import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from torch import nn

from workbench.adaptation.fine_tuning import METHOD_COLORS, METHODS, adapted, fine_tune, trained_count
from workbench.adaptation.tasks import Examples, load_task
from workbench.choices import check_choice, check_count, check_number
from workbench.curvature import eigenpairs, ggn, hessian, trace
from workbench.layers import DoRALayer
from workbench.problem import Problem
from workbench.progress import progress
from workbench.result import Result, new_axes, student_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MATRICES = ("hessian", "ggn")
MOMENTS = ("before", "after")
MEASURES = ("eigenvalue", "limit", "trace")
RATES = {"full": 0.03, "lora": 0.03, "dora": 0.03, "dora-exact": 0.03}
_TOLERANCE = 1e-2  # of the eigenvalue: seeds differ by much more
_WORDS = {
    "eigenvalue": "largest eigenvalue λ",
    "limit": "largest stable learning rate 2/λ",
    "trace": "trace",
}


@dataclasses.dataclass(frozen=True, repr=False)
class AdaptationCurvature(Result):
    """Curvature of the loss in what each method trains, before and after its training.

    Attributes
    ----------
    task, matrix : str
        What is adapted to; ``"hessian"`` or ``"ggn"``.
    rates : dict of str to float
        Methods, and the learning rates that they were trained at.
    parameters : tuple of int
        That each method trains.
    eigenvalue, residual : ndarray (methods, moments, seeds)
        The largest one, and its residual norm: within this distance there is an eigenvalue.
    trace, trace_stderr : ndarray (methods, moments, seeds)
        An estimate, and its standard error.
    matvecs : ndarray (methods,) of int
        Products with the matrix, of all seeds together.
    rank, examples, epochs : int
        Of the updates, and of the trainings.
    interrupted : bool
        Whether there are fewer seeds than were asked for.
    """

    task: str
    matrix: str
    rates: dict[str, float]
    parameters: tuple[int, ...]
    eigenvalue: np.ndarray
    residual: np.ndarray
    trace: np.ndarray
    trace_stderr: np.ndarray
    matvecs: np.ndarray
    rank: int
    examples: int
    epochs: int
    interrupted: bool = False

    @property
    def methods(self) -> tuple[str, ...]:
        """What was trained, in order."""
        return tuple(self.rates)

    @property
    def seeds(self) -> int:
        """Number of seeds, as those of the contest."""
        return self.eigenvalue.shape[-1]

    @property
    def limit(self) -> np.ndarray:
        """2/λ (methods, moments, seeds): a larger step of gradient descent leaves a minimum with this λ."""
        return 2 / self.eigenvalue

    def mean(self, method: str, moment: str, measure: str) -> tuple[float, float]:
        """Mean over the seeds of ``"eigenvalue"``, ``"limit"`` or ``"trace"``, half its 95 % interval."""
        return student_interval(self.of(method, moment, measure))

    def of(self, method: str, moment: str, measure: str) -> np.ndarray:
        """The same of each seed (seeds,)."""
        check_choice("method", method, self.methods)
        check_choice("moment", moment, MOMENTS)
        check_choice("measure", measure, MEASURES)
        return getattr(self, measure)[self.methods.index(method), MOMENTS.index(moment)]

    def frame(self) -> pd.DataFrame:
        """One row per method and moment: means with half the widths of their 95 % intervals."""
        rows = []
        for place, method in enumerate(self.methods):
            for at, moment in enumerate(MOMENTS):
                row: dict[str, object] = {"method": method, "parameters": self.parameters[place]}
                row |= {"rate": self.rates[method], "moment": moment, "seeds": self.seeds}
                for measure in MEASURES:
                    row[measure], row[f"{measure}_ci"] = self.mean(method, moment, measure)
                row["largest_residual"] = self.residual[place, at].max()
                row["largest_trace_stderr"] = self.trace_stderr[place, at].max()
                rows.append(row)
        return pd.DataFrame(rows)

    def plot(self, ax: "Axes | None" = None, measure: str = "eigenvalue") -> "Axes":
        """Every seed as a point, before and after, with means and 95 % intervals."""
        ax = new_axes(ax)
        for place, method in enumerate(self.methods):
            for at, moment in enumerate(MOMENTS):
                values, x = self.of(method, moment, measure), place + 0.3 * (at - 0.5)
                mean, half = student_interval(values)
                color, full = METHOD_COLORS[method], "full" if at else "none"
                ax.plot(np.full(len(values), x), values, ".", color=color, alpha=0.4)
                ax.errorbar(x, mean, half, fmt="o", color=color, fillstyle=full, capsize=4)
        ax.set_xticks(range(len(self.methods)), self.methods)
        ax.set_yscale("symlog" if measure == "trace" else "log")
        ax.set_ylabel(f"{_WORDS[measure]} ({self.matrix})")
        ax.set_title(
            f"open: before, filled: after {self.epochs} epochs; {self.seeds} seeds", fontsize="small"
        )
        return ax

    def summary(self) -> str:
        """Largest eigenvalue, 2/λ and trace of each method before and after."""
        lines = []
        for place, method in enumerate(self.methods):
            parts = []
            for moment in MOMENTS:
                (top, half), (limit, width), (total, part) = (
                    self.mean(method, moment, measure) for measure in MEASURES
                )
                parts.append(
                    f"{moment} λ = {top:.3g} ± {half:.2g}, 2/λ = {limit:.2g} ± {width:.1g}, trace "
                    f"{total:.3g} ± {part:.2g}"
                )
            lines.append(f"{method} ({self.parameters[place]} parameters): {'; '.join(parts)}")
        note = ", INTERRUPTED before the other seeds" if self.interrupted else ""
        residual, error = (self.residual / np.abs(self.eigenvalue)).max(), self.trace_stderr.max()
        lines.append(
            f"{self.matrix} of the loss of {self.examples} examples of {self.task} digits, rank {self.rank}, "
            f"{self.seeds} seeds, 95 % intervals; residuals within {residual:.1%}, standard errors of traces "
            f"up to {error:.2g}, {self.matvecs.sum()} products{note}"
        )
        return "\n".join(lines)


def adaptation_curvature(
    task: Literal["turned", "negative"] = "turned",
    learning_rates: Mapping[str, float] = RATES,
    *,
    matrix: Literal["hessian", "ggn"] = "hessian",
    products: int = 20,
    rank: int = 4,
    examples: int = 300,
    epochs: int = 20,
    width: int = 32,
    blocks: int = 2,
    pretraining: int = 30,
    seeds: int = 4,
) -> AdaptationCurvature:
    r"""Curvature of the loss in what each method trains, where it starts and where AdamW takes it.

    The loss is that of the examples trained on, as a function of the trained parameters alone. DoRA's norm
    is differentiated for this whatever the training does: with a constant norm the derivatives are not those
    of the loss. Gradient descent with a step above :math:`2/\lambda_{\max}` leaves a minimum; away from one,
    and for AdamW, whose steps are rescaled, it is a scale and no limit.

    Parameters
    ----------
    task, rank, examples, epochs, width, blocks, pretraining, seeds
        As those of :func:`compare_adaptations`, with the same networks and examples.
    learning_rates : mapping of str to float
        Methods, and the rate that each is trained at, such as those that a contest chose.
    matrix : {"hessian", "ggn"}
        The Hessian, or the Gauss–Newton matrix, which has no negative eigenvalues.
    products : int
        With the matrix, for each trace (XTrace), at least 4.

    Returns
    -------
    AdaptationCurvature
        An interrupt (Ctrl-C) returns the seeds for which all was measured.

    Raises
    ------
    TypeError, ValueError
        If a name is unknown, there is no method, or a number is out of range.

    Notes
    -----
    Cost: for each method and seed a training, and twice some 10 products for the eigenvalue and ``products``
    for the trace; a product is one pass forward and two backward over the examples.
    """
    if not learning_rates:
        raise ValueError(f"learning_rates is empty: name some of {', '.join(METHODS)}")
    for method, rate in learning_rates.items():
        check_choice("learning_rates", method, METHODS)
        check_number("learning_rates", rate, above=0, below=np.inf)
    check_choice("matrix", matrix, MATRICES)
    check_count("products", products, low=4)
    for name, count in (("rank", rank), ("epochs", epochs), ("seeds", seeds)):
        check_count(name, count)
    size = {"examples": examples, "width": width, "blocks": blocks, "pretraining": pretraining}
    found: list[np.ndarray] = []
    parameters: tuple[int, ...] = ()
    interrupted = False
    try:
        with progress("curvature of adaptations", seeds * len(learning_rates)) as advance:
            for seed in range(seeds):
                loaded = load_task(task, seed=seed, **size)
                values = np.empty((5, len(learning_rates), len(MOMENTS)))
                counts = []
                for row, (method, rate) in enumerate(learning_rates.items()):
                    network = adapted(loaded.network, method, rank, seed)
                    counts.append(trained_count(network))
                    values[:, row, 0] = _curvature(network, loaded.train, matrix, products, seed)
                    fine_tune(network, loaded.train, optimizer="adamw", rate=rate, epochs=epochs, seed=seed)
                    values[:, row, 1] = _curvature(network, loaded.train, matrix, products, seed)
                    advance(1)
                found.append(values)
                parameters = tuple(counts)
    except KeyboardInterrupt:
        if not found:
            raise
        interrupted = True
    eigenvalue, residual, total, error, matvecs = np.stack(found, axis=-1)
    return AdaptationCurvature(
        task=task,
        matrix=matrix,
        rates=dict(learning_rates),
        parameters=parameters,
        eigenvalue=eigenvalue,
        residual=residual,
        trace=total,
        trace_stderr=error,
        matvecs=matvecs.sum((1, 2)).astype(int),
        rank=rank,
        examples=examples,
        epochs=epochs,
        interrupted=interrupted,
    )


def _curvature(
    network: nn.Module, examples: Examples, matrix: str, products: int, seed: int
) -> tuple[float, ...]:
    """Largest eigenvalue, its residual, trace, its standard error, and products."""
    copied = copy.deepcopy(network).eval()
    for module in copied.modules():
        if isinstance(module, DoRALayer):
            module.constant_norm = False
    problem = Problem(copied, nn.CrossEntropyLoss(), examples)
    kind = hessian if matrix == "hessian" else ggn
    operator = kind(problem, check=False)  # our own network, in eval mode: its loss is a function
    pairs = eigenpairs(operator, k=1, tol=_TOLERANCE, seed=seed, method="lanczos")
    total = trace(operator, "xtrace", max_matvecs=products, seed=seed)
    if pairs.interrupted or not total.converged:  # without a tolerance, only an interrupt ends a trace early
        raise KeyboardInterrupt  # half a measurement is none
    return (
        float(pairs.values[0]),
        float(pairs.residuals[0]),
        total.value,
        total.stderr,
        pairs.matvecs + total.matvecs,
    )
