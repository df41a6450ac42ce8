"""The section on data and model: what they are, and how good the model is."""

import dataclasses
import math
from typing import TYPE_CHECKING, ClassVar

from workbench.inspection import ProblemDescription, Score, describe_problem
from workbench.overview.caution import Caution
from workbench.overview.finding import Finding
from workbench.overview.planning import Cost, Level
from workbench.overview.section import Section, plural
from workbench.overview.setting import Setting
from workbench.overview.watch import Watch
from workbench.result import new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_IMBALANCE = 5.0  # most frequent class over the rarest
_INTERPOLATES = 0.01  # loss over that of chance up to which the examples count as fitted


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class ModelSection(Section):
    """What is trained on what, and how well it does.

    Attributes
    ----------
    description : ProblemDescription or None
    """

    key: ClassVar[str] = "model"
    title: ClassVar[str] = "Data and model"
    notebook: ClassVar[str] = "start"
    size: ClassVar[tuple[float, float]] = (9.0, 3.4)

    description: ProblemDescription | None = None

    @property
    def sentence(self) -> str:
        """Size of model and data, and how good it is on both kinds of data."""
        found = self.description
        if found is None:
            return "Data and model could not be described."
        text = (
            f"{found.model}: {plural(found.parameters, 'parameter')} in "
            f"{plural(len(found.layers), 'layer')}, {found.loss} over {plural(found.examples, 'example')}; "
            f"loss {found.data.loss:.3g}"
        )
        if found.data.metric:
            text += f", {found.data.metric} {_metric(found.data)}"
        if found.held_out is not None:
            other = found.held_out
            text += f"; held out: loss {other.loss:.3g}"
            text += f", {other.metric} {_metric(other)}" if other.metric else ""
        else:
            others = {name: value for name, value in found.metrics.items() if not name.startswith("train")}
            words = [f"{name.replace('_', ' ')} {value:.3g}" for name, value in others.items()]
            text += "".join(f"; {word}" for word in words)
        return f"{text}."

    @property
    def caption(self) -> str:
        """How to read parameters and classes."""
        found = self.description
        grey = " (grey: not analysed)" if found is not None and found.frozen else ""
        text = f"Parameters of each layer, in the model's order{grey}."
        if self._has_classes:
            return f"Left: {text[0].lower()}{text[1:]} Right: share of each class in the targets."
        return text

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Sizes, losses, metrics."""
        found = self.description
        if found is None:
            return ()
        rows = [
            Finding.exact("parameters", found.parameters),
            *([Finding.exact("parameters that are frozen", found.frozen)] if found.frozen else []),
            Finding.exact("examples", found.examples),
            *_of_score(found.data, ""),
            Finding.exact("loss of chance", found.chance),
            Finding.exact("most frequent class over the rarest", found.data.imbalance),
        ]
        if found.held_out is not None:
            rows += _of_score(found.held_out, ", held out")
        rows += [
            Finding(f"the problem's own {name.replace('_', ' ')}", value)
            for name, value in found.metrics.items()
        ]
        return tuple(row for row in rows if math.isfinite(row.value))

    @property
    def cautions(self) -> tuple[Caution, ...]:
        """Unbalanced classes, batch statistics, a loss that is not low enough, a gap."""
        found = self.description
        if found is None:
            return ()
        cautions = []
        empty = int((found.data.class_counts == 0).sum())
        if empty:
            count = len(found.data.class_counts)
            text = f"{empty} of the {count} classes have no example"
            cautions.append(Caution(text, "classes without an example", empty, 1))
        elif found.data.imbalance > _IMBALANCE:
            cautions.append(
                Caution(
                    f"the most frequent class has {found.data.imbalance:.3g} times the examples of the "
                    "rarest",
                    "most frequent class over the rarest",
                    found.data.imbalance,
                    _IMBALANCE,
                )
            )
        statistics = sum(kind.startswith("BatchNorm") for kind in found.kinds)
        if statistics:
            cautions.append(
                Caution(
                    f"{plural(statistics, 'layer')} of BatchNorm: here their statistics stand still, as "
                    "they do after training; while it goes on, curvature and steps are others",
                    "layers of BatchNorm",
                    statistics,
                    1,
                )
            )
        cautions += _of_loss(found)
        gap = _gap(found)
        return (*cautions, gap) if gap is not None else tuple(cautions)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Parameters by layer."""
        ax = new_axes(ax)
        if self.description is not None:
            self.description.plot(ax)
            ax.set_title("")
        return ax

    def draw(self, figure: "Figure") -> None:
        """Parameters by layer, and the classes if there are any."""
        if self.description is None or not self._has_classes:
            self.plot(figure.subplots())
            return
        left, right = figure.subplots(1, 2)
        self.plot(left)
        self.description.plot_classes(right)
        right.set_title("")

    @property
    def _has_classes(self) -> bool:
        return self.description is not None and bool(self.description.data.class_counts.sum())


def offer(setting: Setting) -> list[Level]:
    """Return what a description takes."""
    return [Level(Cost(forwards=2), {})]


def measure(setting: Setting, watch: Watch) -> ModelSection:
    """Describe data and model."""
    found = watch.measure("description", describe_problem, setting.problem, setting.held_out)
    for what, reason in found.left_out.items() if found is not None else ():
        watch.skip(what, reason)
    return ModelSection(
        left_out=tuple(watch.left_out),
        gradients=found.gradients if found is not None else 0.0,
        seconds=watch.seconds,
        interrupted=watch.interrupted,
        description=found,
    )


def _metric(score: Score) -> str:
    return f"{score.value:.1%}" if score.metric == "accuracy" else f"{score.value:.3g}"


def _of_score(score: Score, where: str) -> list[Finding]:
    rows = [Finding.exact(f"loss{where}", score.loss)]
    if score.metric:
        unit = "%" if score.metric == "accuracy" else ""
        rows.append(Finding(f"{score.metric}{where}", score.value, score.low, score.high, "95 %", unit))
    return rows


def _of_loss(found: ProblemDescription) -> list[Caution]:
    """Whether the loss is that of a model that knows something, or even one that fits each example."""
    if found.data.loss >= found.chance:
        text = "the loss is no lower than that of a constant output"
        return [Caution(text, "loss, and that of chance", found.data.loss, found.chance)]
    share = found.data.loss / found.chance if found.chance > 0 else math.nan
    if share > _INTERPOLATES:
        return [
            Caution(
                "the examples are not all fitted, so limits of linear stability, which take them for that, "
                "do not apply here",
                "loss over that of chance",
                share,
                _INTERPOLATES,
            )
        ]
    return []


def _gap(found: ProblemDescription) -> Caution | None:
    """A metric that is lower on held-out data, beyond both intervals."""
    own, other = found.data, found.held_out
    if other is None or not other.metric or other.metric != own.metric or not other.high < own.low:
        return None
    return Caution(
        f"{own.metric} falls from {_metric(own)} to {_metric(other)} on held-out data",
        f"{own.metric} lost on held-out data",
        own.value - other.value,
    )
