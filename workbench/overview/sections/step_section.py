"""The section on the learning rate: what was tried, and what formulas say of it."""

import dataclasses
import math
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import torch

from workbench.colors import BLUE, GREEN, VERMILION
from workbench.curvature import BatchSpectra, batch_spectra
from workbench.curvature.batch_spectra import BELOW
from workbench.curvature.subsampling import NOISE_BATCHES, NOISE_SIZE
from workbench.overview.caution import Caution
from workbench.overview.finding import Finding
from workbench.overview.planning import Cost, Level
from workbench.overview.section import Section, rate_text
from workbench.overview.setting import Setting
from workbench.overview.watch import Watch
from workbench.result import new_axes
from workbench.stability import RateLimit, TaylorRadius, rate_limit, sharpness_threshold, taylor_radius
from workbench.stability.rate_advice import USUAL_RUNS, guess_from_sharpness

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SAFE = 0.5  # share of the tested limit up to which a rate is advised
_SEEDS = 5
_SEARCH = 32  # products that a search for the largest eigenvalues takes, at most
_PROBES = 2  # of the noise of batches' curvature
_JUDGED = 5000  # examples on which the loss at the end of a run is measured, at most


class Mark(NamedTuple):
    """A learning rate to be held against others.

    Attributes
    ----------
    label : str
        What it says.
    value, low, high : float
        The rate and the ends of its interval.
    kind : str
        What the interval is.
    tested : bool
        Whether trainings say so, or a formula.
    """

    label: str
    value: float
    low: float
    high: float
    kind: str
    tested: bool = False


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class StepSection(Section):
    """Which learning rates hold.

    Attributes
    ----------
    optimizer : str
    rate : float or None
        Today's learning rate.
    batch_size : int
    limit : RateLimit or None
        The largest rates that short trainings survive.
    radius : TaylorRadius or None
        Along the update that the optimizer would make now, with the learning rate ``update_rate``.
    update_rate : float
    curve : float
        c in the formula c/λ for the largest stable rate of full batches; nan if there is none.
    rule : str
        That formula, for reading.
    sharpness, sharpness_error : float
        λ, and its residual; nan if unknown.
    batch : BatchSpectra or None
        The largest eigenvalue of the Hessian of batches of this size.
    """

    key: ClassVar[str] = "step"
    title: ClassVar[str] = "Learning rate"
    notebook: ClassVar[str] = "stability"
    size: ClassVar[tuple[float, float]] = (8.0, 3.2)

    optimizer: str = "sgd"
    rate: float | None = None
    batch_size: int = 1
    limit: RateLimit | None = None
    radius: TaylorRadius | None = None
    update_rate: float = math.nan
    curve: float = math.nan
    rule: str = ""
    sharpness: float = math.nan
    sharpness_error: float = math.nan
    batch: BatchSpectra | None = None

    @property
    def advised(self) -> tuple[float, float] | None:
        """The range of rates worth trying; None if no limit was found."""
        if self.limit is None or self.limit.hardly_trains:
            return None
        return self.limit.worth_trying

    @property
    def sentence(self) -> str:
        """What to try, and where today's rate stands."""
        if self.limit is None:
            return (
                "No learning rate could be tested, so none is advised; formulas alone do not say what holds."
            )
        if self.advised is None:
            return (
                f"No learning rate is advised: {self._tested} hardly get under the loss of a constant "
                "output, so they say nothing of it; a larger budget makes them longer."
            )
        low, high = self.advised
        text = (
            f"Try learning rates from {rate_text(low)} to {rate_text(high)}: {self._tested} survive up to "
            "about "
        )
        text += f"{rate_text(self.limit.advised)}."
        if self.rate is not None:
            text += f" Today's rate of {self.rate:.3g} is {self._standing(self.rate)}."
        return text

    @property
    def caption(self) -> str:
        """How to read the ladder."""
        text = "Learning rates on one logarithmic axis."
        if any(mark.tested for mark in self.marks):
            text += " The star is where short trainings stop surviving, with its 95 % interval."
        if self.limit is not None and self.advised is not None:
            slow = (
                "at the slowest rate tried" if self.limit.slow_end_open else "where trainings get half as far"
            )
            text += f" The green band is worth trying: it begins {slow}, and ends at half the limit."
        if self.rate is not None:
            text += " The red line is today's rate."
        rule = f" ({self.rule})" if self.rule else ""
        return (
            f"{text} Dots are formulas{rule}: they start from the curvature here, and tell where a limit "
            "comes from rather than where it is."
        )

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The rows of the ladder, and the radius."""
        found = [Finding(row.label, row.value, row.low, row.high, row.kind) for row in self.marks]
        if self.rate is not None:
            found.insert(0, Finding.exact("today's learning rate", self.rate))
        if self.advised is not None:
            low, high = self.advised
            found.append(Finding("rates worth trying, up to half of the limit", high, low, high, "range"))
        return tuple(found)

    @property
    def cautions(self) -> tuple[Caution, ...]:
        """Today's rate above what was tested; seeds that disagree."""
        found = []
        if self.advised is not None and self.rate is not None and self.limit is not None:
            share = self.rate / self.limit.advised
            if share > _SAFE:
                worth = "beyond the largest" if share > 1 else "above half of the largest"
                found.append(
                    Caution(
                        f"today's learning rate is {worth} that short trainings survive",
                        "today's rate over the tested limit",
                        share,
                        _SAFE,
                    )
                )
        if self.limit is not None and len(self.limit.limits) < _SEEDS:
            found.append(
                Caution(
                    f"only {len(self.limit.limits)} of {_SEEDS} seeds were tested: the limit is rough",
                    "seeds tested",
                    len(self.limit.limits),
                    _SEEDS,
                )
            )
        return tuple(found)

    @property
    def drawable(self) -> bool:
        """Whether there is any learning rate to draw."""
        return bool(self.marks)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """All learning rates on one axis."""
        ax = new_axes(ax)
        rows = self.marks
        for place, row in enumerate(rows):
            color, marker, size = (BLUE, "*", 13) if row.tested else ("0.4", "o", 7)
            ax.plot(row.value, place, marker, color=color, markersize=size)
            if math.isfinite(row.low) and math.isfinite(row.high) and row.low > 0:
                ax.hlines(place, row.low, row.high, color=color)
            ax.annotate(
                f"{row.value:.3g}", (row.value, place), (0, 8), textcoords="offset points", fontsize="small",
                ha="center",
            )  # fmt: skip
        if self.advised is not None:
            ax.axvspan(*self.advised, color=GREEN, alpha=0.15, linewidth=0, label="worth trying")
        if self.rate is not None:
            ax.axvline(self.rate, color=VERMILION, label=f"today's rate {self.rate:.3g}")
        ax.set_yticks(range(len(rows)), [row.label for row in rows], fontsize="small")
        ax.set_ylim(len(rows) - 0.4, -0.7)
        ax.set_xscale("log")
        ax.margins(x=0.1)
        ax.set_xlabel(f"learning rate of {self.optimizer}")
        ax.grid(axis="y", color="0.92")
        if ax.get_legend_handles_labels()[0]:
            ax.legend(fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
        return ax

    @property
    def _tested(self) -> str:
        assert self.limit is not None
        return f"trainings of {self.limit.steps} steps with batches of {self.limit.batch_size}"

    @property
    def marks(self) -> list[Mark]:
        rows = []
        if self.limit is not None and not self.limit.hardly_trains:
            rows.append(
                Mark(
                    "tested: short trainings survive",
                    self.limit.advised,
                    *self.limit.interval,
                    "95 %",
                    tested=True,
                )
            )
        if self.curve > 0 and self.sharpness > 0:
            value = self.curve / self.sharpness
            error = value * self.sharpness_error / self.sharpness
            rows.append(
                Mark(
                    "formula, λ of all data",
                    value,
                    value - error,
                    value + error,
                    "± error",
                )
            )
        if self.batch is not None and len(self.batch.measured) and self.batch.measured[0, 0] > 0:
            largest, error = float(self.batch.measured[0, 0]), 2 * float(self.batch.measured_stderr[0, 0])
            low, high = self.curve / (largest + error), math.inf
            if largest > error:
                high = self.curve / (largest - error)
            label = "formula, λ of batches"
            rows.append(Mark(label, self.curve / largest, low, high, "two standard errors"))
        if self.radius is not None and math.isfinite(self.radius.radius):
            value = self.update_rate / self.radius.ratio
            rows.append(Mark("update as long as its Taylor radius", value, value, value, "exact"))
        return rows

    def _standing(self, rate: float) -> str:
        assert self.limit is not None
        assert self.advised is not None
        low, high = self.advised
        if rate > self.limit.limits.max():
            return f"{rate / self.limit.advised:.2g} times that limit, and above that of every seed"
        if rate > self.limit.advised:
            return "above that limit, where about half of such trainings fail"
        if rate > high:
            return (
                f"below that limit but above half of it, where some trainings fail ({rate_text(high)} is "
                "safe)"
            )
        if rate < low and self.limit.slow_end_open:
            return "safe, and below the slowest rate that was tried"
        if rate < low:
            return f"safe, and slower than it needs to be ({low / rate:.2g} times below that range)"
        return "within that range"


def offer(setting: Setting) -> list[Level]:
    """Return how thoroughly learning rates may be tried."""
    if not setting.problem.can_split:  # nothing can be tried: formulas alone
        return [Level(Cost(gradients=2, forwards=2), {"steps": 0, "batches": 0})]
    levels = [Level(Cost(gradients=2, forwards=2), {"steps": 0, "batches": 0}, bare=True)]
    for steps, batches in ((20, 0), (50, 0), (100, 5), (200, 8)):
        runs = _SEEDS * USUAL_RUNS
        judged = min(_JUDGED, setting.problem.num_examples) / setting.problem.num_examples
        cost = Cost(
            gradients=2,
            forwards=runs * judged + 2,
            steps=runs * steps,
            products=_batch_products(setting, batches) or 10,  # what is tried may take a little more
        )
        levels.append(Level(cost, {"steps": steps, "batches": batches}))
    return levels


def _batch_products(setting: Setting, batches: int) -> float:
    """Products with all examples that the curvature of batches is worth, at most."""
    examples = setting.problem.num_examples
    if not batches or setting.batch_size >= examples:
        return 0.0
    noise = (1 + BELOW + _PROBES) * (1 + NOISE_BATCHES * min(NOISE_SIZE, examples // 2) / examples)
    return noise + _SEARCH * (1 + batches * setting.batch_size / examples)


def measure(
    setting: Setting,
    watch: Watch,
    *,
    sharpness: tuple[float, float] | None,
    most: float,
    price: float,
    steps: int,
    batches: int,
) -> StepSection:
    """Try learning rates, and say what formulas make of them.

    λ and its error may be known already; ``most`` gradients are left to be spent, and trying learning rates
    takes a ``price`` in gradients at least.
    """
    problem, spent = setting.problem, 2.0
    curve, rule = _formula(setting, watch)
    radius = None
    if problem.weighting.sums:
        curve, reason = math.nan, "the loss is a sum, whose λ over all examples is not that of a batch"
        watch.skip("formulas", reason)
    else:
        radius = watch.measure("Taylor radius along the update", taylor_radius, problem, setting.optimizer)
    guess = None if sharpness is None else guess_from_sharpness(setting.maker, sharpness[0])
    limit, tried = None, 0
    reserve = 2 + 2 * _batch_products(setting, batches)
    if steps:
        limit = watch.measure(
            "trying learning rates", rate_limit, problem, setting.given, batch_size=setting.batch_size,
            steps=steps, seeds=_SEEDS, seed=setting.seed, examples=min(_JUDGED, problem.num_examples),
            budget=max(most - reserve, 1.0), guess=guess,
        )  # fmt: skip
        tried = watch.done
    elif problem.can_split:
        watch.skip(
            "trying learning rates", f"{price:.3g} gradients at least, which the budget does not leave"
        )
    else:
        weighting = problem.weighting.rule
        watch.skip(
            "trying learning rates", f"examples weighted by {weighting} cannot be taken out of their batches"
        )
    batch = None
    if batches and math.isfinite(curve) and setting.batch_size < problem.num_examples:
        batch = watch.measure(
            "curvature of batches", batch_spectra, problem, [setting.batch_size], 1, batches=batches,
            probes=_PROBES, tol=1e-2, max_matvecs=_SEARCH, seed=setting.seed,
        )  # fmt: skip
    if problem.can_split and _is_plain_sgd(setting.optimizer):
        rate = "learning_rate" if setting.rate is None else f"{setting.rate:g}"
        watch.skip(
            "linear stability of batches",
            "it takes the gradients of single examples, and holds only where all are fitted: call "
            f"wb.stability.linear_stability(problem, {rate}, {setting.batch_size})",
        )
    spent += limit.gradients if limit is not None else _spent_in_vain(setting, tried, steps)
    spent += 2 * batch.matvecs if batch is not None else 0
    return StepSection(
        left_out=tuple(watch.left_out),
        gradients=spent,
        seconds=watch.seconds,
        interrupted=watch.interrupted,
        optimizer=setting.maker.name,
        rate=setting.rate,
        batch_size=setting.batch_size,
        limit=limit,
        radius=radius,
        update_rate=setting.update_rate,
        curve=curve,
        rule=rule,
        sharpness=sharpness[0] if sharpness is not None else math.nan,
        sharpness_error=sharpness[1] if sharpness is not None else math.nan,
        batch=batch,
    )


def _spent_in_vain(setting: Setting, tried: int, steps: int) -> float:
    """Gradients that a search without a result took, from the steps that it made."""
    judged = min(_JUDGED, setting.problem.num_examples) / 3
    runs = tried / max(steps, 1)
    return (tried * setting.batch_size + runs * judged) / setting.problem.num_examples


def _is_plain_sgd(optimizer: torch.optim.Optimizer) -> bool:
    """Whether the law of linear stability is about this optimizer."""
    extras = ("momentum", "weight_decay")
    return isinstance(optimizer, torch.optim.SGD) and not any(
        group[extra] for group in optimizer.param_groups for extra in extras
    )


def _formula(setting: Setting, watch: Watch) -> tuple[float, str]:
    """Numerator c of the largest stable rate c/λ of full batches, and how to write it."""
    threshold = watch.measure("formula for the largest rate", sharpness_threshold, setting.optimizer)
    if threshold is None:
        return math.nan, ""
    if threshold.preconditioned:
        watch.skip(
            "formula for the largest rate",
            f"{type(setting.optimizer).__name__} divides by its own scale of each gradient, with which λ was "
            "not measured here: the notebook stability does",
        )
        return math.nan, ""
    return threshold.value * setting.update_rate, threshold.rule.replace("/η", "/λ")
