"""The section on the gradient: its length, its noise, whether batches agree, and what the layers pass on."""

import dataclasses
import math
from typing import TYPE_CHECKING, ClassVar

from workbench.inspection import Activity, GradientStatistics, activity, gradient_statistics
from workbench.moment import Reading
from workbench.overview.caution import Caution
from workbench.overview.finding import FEWEST, Finding
from workbench.overview.planning import Cost, Level
from workbench.overview.section import Section, plural
from workbench.overview.setting import Setting
from workbench.overview.watch import Watch
from workbench.result import new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CONFLICTS = 0.3  # share of pairs of batches that conflict: above that it is warned of
_DEAD = 0.2  # share of the units of a layer
_GROWTH = 10.0  # from one layer to the next, or its inverse
_SEEN = 2000  # examples that the layers are looked at with, at most
_SHARE = 4  # batches that the data must have room for: larger ones overlap, and agree by that


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class GradientSection(Section):
    """The gradient, and what layers make of their inputs.

    Attributes
    ----------
    statistics : GradientStatistics or None
    activity : Activity or None
    """

    key: ClassVar[str] = "gradient"
    title: ClassVar[str] = "Gradient and layers"
    notebook: ClassVar[str] = "batch_size"
    size: ClassVar[tuple[float, float]] = (9.5, 4.2)

    statistics: GradientStatistics | None = None
    activity: Activity | None = None

    @property
    def sentence(self) -> str:
        """Whether batches of this size say more than noise, and whether they agree."""
        if self.statistics is None:
            return "The gradient could not be measured."
        whole, batch = self.statistics.whole, self.statistics.batch_size
        ratio = whole.signal_to_noise.value
        if not math.isfinite(ratio):
            return f"The gradient has a length of {whole.norm:.3g}; its noise could not be measured."
        if self.statistics.batches < FEWEST:
            return (
                f"The gradient has a length of {whole.norm:.3g}; its noise cannot be told from "
                f"{self.statistics.batches} batches."
            )
        scale = whole.noise_scale.value
        if math.isfinite(scale):
            size = f"{scale:,.0f} examples" if scale >= 2 else "a single example"
            told = f"noise and signal are alike at batches of about {size}"
        else:
            told = "no signal stands out of the noise of these examples"
        mostly = "mostly noise" if ratio < 1 else "mostly signal"
        return (
            f"A batch of {batch:.0f} sees {mostly}: {told}. "
            f"{whole.conflicts.value:.0%} of pairs of batches pull against each other."
        )

    @property
    def caption(self) -> str:
        """How to read signal to noise and sizes."""
        return (
            "Left: squared length of each layer's gradient over the noise of one batch, ± standard error; "
            "left of 1 a single batch says little about that layer. Right: typical size of what each layer "
            "puts out, in the order of the computation; a line that climbs or falls by orders of magnitude "
            "explodes or vanishes."
        )

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Length, noise scale, signal to noise, conflicts, the noisiest layer, dead units."""
        found = []
        if self.statistics is not None:
            whole = self.statistics.whole
            low, high = self.statistics.conflict_interval
            found = [
                Finding.exact("length of the gradient", whole.norm),
                self._of_batches("noise scale", whole.noise_scale, "examples"),
                self._of_batches("signal to noise of a batch", whole.signal_to_noise),
                Finding("pairs of batches that conflict", whole.conflicts.value, low, high, "95 %", "%"),
                self._of_batches("mean cosine between batches", whole.mean_cosine),
            ]
        if self.activity is not None:
            found += self._of_activity(self.activity)
        return tuple(each for each in found if math.isfinite(each.value))

    @property
    def cautions(self) -> tuple[Caution, ...]:
        """Conflicts, dead units, exploding or vanishing layers."""
        found = []
        statistics = self.statistics
        enough = statistics is not None and statistics.batches >= FEWEST
        share = statistics.whole.conflicts.value if statistics is not None else 0.0
        if enough and share > _CONFLICTS:
            found.append(
                Caution(
                    f"{share:.0%} of pairs of batches pull against each other: batches of this size hardly "
                    "agree on a direction",
                    "pairs of batches that conflict",
                    share,
                    _CONFLICTS,
                )
            )
        return (*found, *(activity_cautions(self.activity) if self.activity is not None else ()))

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Signal to noise by layer; without it, the sizes of the outputs."""
        ax = new_axes(ax)
        found = self.statistics if self.statistics is not None else self.activity
        if found is not None:
            found.plot(ax)
            ax.set_title("")
        return ax

    def draw(self, figure: "Figure") -> None:
        """Signal to noise by layer, beside the sizes of the outputs."""
        if self.statistics is None or self.activity is None:
            self.plot(figure.subplots())
            return
        left, right = figure.subplots(1, 2)
        self.plot(left)
        self.activity.plot(right)
        right.set_title("")

    def _of_batches(self, name: str, reading: Reading, unit: str = "") -> Finding:
        assert self.statistics is not None
        return Finding.estimated(name, *reading, self.statistics.batches, "batches", unit)

    @staticmethod
    def _of_activity(found: Activity) -> list[Finding]:
        layers = int(found.layers.sum())
        rows = [
            Finding.estimated("growth of outputs per layer", *found.growth, layers, "layers"),
            Finding.estimated("growth of gradients per layer back", *found.gradient_growth, layers, "layers"),
        ]
        if found.units.any():
            rows.append(Finding.exact("dead units", found.dead_share, "%"))
        return rows


def activity_cautions(found: Activity) -> list[Caution]:
    """What layers do that hurts: dead units, jumps in size, values that are not finite."""
    cautions = []
    for name, units, dead in zip(found.modules, found.units, found.dead, strict=True):
        if units and dead / units > _DEAD:
            share = float(dead / units)
            cautions.append(
                Caution(
                    f"{share:.0%} of the {plural(int(units), 'unit')} of {name} are dead: zero on all "
                    f"{found.examples:,} examples, they learn nothing",
                    f"dead units of {name}",
                    share,
                    _DEAD,
                )
            )
    jump = found.largest_jump
    if jump is not None and not 1 / _GROWTH < jump.factor < _GROWTH:
        what = "grows" if jump.factor > 1 else "shrinks"
        cautions.append(
            Caution(
                f"from {jump.before} to {jump.after} the typical output {what} by a factor of "
                f"{jump.factor:.3g}",
                "largest jump between layers",
                jump.factor,
                _GROWTH if jump.factor > 1 else 1 / _GROWTH,
            )
        )
    unfinite = int(found.unfinite.sum() + found.gradient_unfinite.sum())
    if unfinite:
        cautions.append(
            Caution(
                f"{plural(unfinite, 'value')} inside the network are not finite",
                "values not finite",
                unfinite,
                1,
            )
        )
    return cautions


def offer(setting: Setting) -> list[Level]:
    """Return from how many batches the gradient may be measured."""
    examples = setting.problem.num_examples
    share = _batch_size(setting) / examples
    seen = min(_SEEN, examples) / examples
    return [
        Level(
            Cost(
                gradients=1 + seen + batches * share,
                vectors=batches * (batches + 10),
            ),
            {"batches": batches},
        )
        for batches in (10, 20, 30)
    ]


def measure(setting: Setting, watch: Watch, *, batches: int) -> GradientSection:
    """Measure the gradient of batches, and what each layer puts out."""
    problem, size = setting.problem, _batch_size(setting)
    statistics = watch.measure(
        "gradient statistics", gradient_statistics, problem, size, batches, setting.seed
    )
    if size < setting.batch_size and statistics is not None and statistics.sampling == "drawn":
        reason = (
            f"of {plural(problem.num_examples, 'example')} they overlap too much; batches of {size} instead"
        )
        watch.skip(f"gradients of batches of {setting.batch_size}", reason)
    seen = watch.measure("activity of the layers", activity, problem, min(_SEEN, problem.num_examples))
    parts = [each for each in (statistics, seen) if each is not None]
    for part in parts:
        for what, reason in part.left_out.items():
            if not what.startswith("gradient at"):  # a module without one is seen in the picture
                watch.skip(what, reason)
    return GradientSection(
        left_out=tuple(watch.left_out),
        gradients=sum(part.gradients for part in parts),
        seconds=watch.seconds,
        interrupted=watch.interrupted,
        statistics=statistics,
        activity=seen,
    )


def _batch_size(setting: Setting) -> int:
    """That of the training, or less where the data is too small for several such batches."""
    return min(setting.batch_size, max(setting.problem.num_examples // _SHARE, 1))
