"""``evidence_table``: several metrics of several explainers, beside maps that know nothing of the network."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
from torch import Tensor, nn

from workbench.choices import suggestion
from workbench.colors import BLUE
from workbench.progress import progress
from workbench.result import Result
from workbench.saliency.evidence.budget import rows_at_once
from workbench.saliency.evidence.class_correlation import class_sensitivity
from workbench.saliency.evidence.energy import energy_pointing
from workbench.saliency.evidence.evidence_result import Evidence
from workbench.saliency.evidence.fidelity import infidelity
from workbench.saliency.evidence.floors import FLOORS
from workbench.saliency.evidence.label_permutation import label_randomisation
from workbench.saliency.evidence.pixel_curves import deletion, insertion
from workbench.saliency.evidence.pointing import pointing_game
from workbench.saliency.evidence.questions import fixed_targets, make_maps
from workbench.saliency.evidence.randomisation import cascading_randomisation, independent_randomisation
from workbench.saliency.evidence.regions import Regions, region_masks
from workbench.saliency.evidence.road_curves import road
from workbench.saliency.evidence.robustness import max_sensitivity
from workbench.saliency.evidence.sparsity import sparseness
from workbench.saliency.explainers import MapFunction

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FLOOR_GREY = "0.6"
_FLOOR_LINES = (":", "--", "-")


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class EvidenceTable(Result):
    """Metrics of explainers and of floors, on the same inputs.

    Attributes
    ----------
    evidence : dict of str to dict of str to Evidence
        By explainer and metric.
    floors : tuple of str
        Which of the explainers know nothing of the network.
    interrupted : bool
        Whether there was more to do.
    """

    evidence: dict[str, dict[str, Evidence]]
    floors: tuple[str, ...]
    interrupted: bool = False

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics, in order."""
        return tuple(dict.fromkeys(name for each in self.evidence.values() for name in each))

    def frame(self) -> pd.DataFrame:
        """One row per explainer and metric: mean, 95 % interval, defined and undefined samples."""
        rows = [
            {
                "explainer": explainer,
                "metric": metric,
                "mean": found.mean,
                "low": found.low,
                "high": found.high,
                "n": found.n,
                "undefined": found.undefined,
                "better": found.better,
                "floor": explainer in self.floors,
            }
            for explainer, metrics in self.evidence.items()
            for metric, found in metrics.items()
        ]
        return pd.DataFrame(rows)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw a column per metric and a row per explainer, with intervals; the floors are grey lines.

        The arrow points to what is better. What is undefined for all samples has no point.
        """
        if ax is None:
            from matplotlib.figure import Figure

            size = (1 + 1.2 * len(self.metrics), 1.5 + 0.3 * len(self.evidence))
            ax = Figure(figsize=size, layout="constrained").subplots()
        names = [name for name in self.evidence if name not in self.floors]
        ax.set_axis_off()
        for floor, line in zip(self.floors, _FLOOR_LINES, strict=False):
            ax.plot([], [], color=_FLOOR_GREY, linestyle=line, label=floor)
        if self.floors:
            ax.legend(loc="upper center", ncols=len(self.floors), fontsize="x-small", frameon=False)
        width = 1 / max(len(self.metrics), 1)
        for column, metric in enumerate(self.metrics):
            panel = ax.inset_axes((column * width, 0.0, 0.88 * width, 0.85))
            self._plot_metric(panel, metric, names)
            panel.set_yticks(range(len(names)), names if column == 0 else [""] * len(names))
            panel.set_ylim(len(names) - 0.5, -0.5)
        ax.set_title(self.summary().splitlines()[0], fontsize="small")
        return ax

    def summary(self) -> str:
        """What was compared; for each metric which explainer is best, and which floors it does not beat."""
        count = len(self.evidence) - len(self.floors)
        note = ", INTERRUPTED before the rest" if self.interrupted else ""
        lines = [f"{count} explainers and {len(self.floors)} floors by {len(self.metrics)} metrics{note}"]
        return "\n".join([*lines, *(line for metric in self.metrics if (line := self._verdict(metric)))])

    def _verdict(self, metric: str) -> str:
        found = {name: each[metric] for name, each in self.evidence.items() if metric in each}
        ranked = {name: each for name, each in found.items() if each.n and name not in self.floors}
        better = next(iter(found.values())).better
        if not ranked or not better:
            return ""
        sign = -1 if better == "lower" else 1
        best = max(ranked, key=lambda name: sign * ranked[name].mean)
        mean, low, high = ranked[best].mean, ranked[best].low, ranked[best].high
        unbeaten = [
            name for name in self.floors if name in found and found[name].n
            and sign * found[name].mean >= sign * mean
        ]  # fmt: skip
        note = f", NOT better than the {' and the '.join(unbeaten)}" if unbeaten else ""
        warning = f"; {ranked[best].warning}" if ranked[best].warning else ""
        return f"{metric}: {best} {mean:.3g} [{low:.3g}, {high:.3g}]{note}{warning}"

    def _plot_metric(self, panel: "Axes", metric: str, names: Sequence[str]) -> None:
        for floor, line in zip(self.floors, _FLOOR_LINES, strict=False):
            found = self.evidence[floor].get(metric)
            if found is not None and found.n:
                panel.axvline(found.mean, color=_FLOOR_GREY, linestyle=line, linewidth=1)
        for row, name in enumerate(names):
            found = self.evidence[name].get(metric)
            if found is not None and found.n:
                panel.plot(found.mean, row, "o", color=BLUE, markersize=4)
                panel.hlines(row, found.low, found.high, color=BLUE)
        better = next(iter(each[metric].better for each in self.evidence.values() if metric in each))
        arrow = {"higher": " →", "lower": " ←"}.get(better, "")
        panel.set_xlabel(metric.replace("_", "\n") + arrow, fontsize="x-small")
        panel.tick_params(labelsize=6)
        panel.locator_params(axis="x", nbins=3)


@dataclasses.dataclass(frozen=True)
class _Case:
    """One explainer, and all that a metric may need of it."""

    model: nn.Module
    inputs: Tensor
    targets: Tensor
    map_function: MapFunction
    maps: Tensor
    boxes: Regions | None
    common: dict[str, Any]

    def by_maps(self, metric: Callable[..., Evidence], **options: Any) -> Evidence:
        """A metric of given maps."""
        return metric(self.model, self.inputs, self.targets, self.maps, **self.common, **options)

    def by_maps_alone(self, metric: Callable[..., Evidence], **options: Any) -> Evidence:
        """A metric that does not ask the model."""
        return metric(self.maps, seed=self.common["seed"], **options)

    def by_boxes(self, metric: Callable[..., Evidence], **options: Any) -> Evidence:
        """A metric of maps and boxes."""
        return metric(self.maps, self.boxes, self.targets, seed=self.common["seed"], **options)

    def by_function(self, metric: Callable[..., Any], **options: Any) -> Any:
        """A metric for which maps are made anew."""
        return metric(self.model, self.inputs, self.targets, self.map_function, **self.common, **options)

    def by_classes(self, metric: Callable[..., Evidence], **options: Any) -> Evidence:
        """A metric that chooses the classes itself."""
        return metric(self.model, self.inputs, self.map_function, **self.common, **options)

    def by_weights(
        self, metric: Callable[..., Any], similarity: str = "spearman", **options: Any
    ) -> Evidence:
        """A randomisation of weights, in one similarity."""
        return self.by_function(metric, similarities=[similarity], **options).evidence[similarity]


class _Metric(NamedTuple):
    function: Callable[..., Any]
    run: Callable[..., Evidence]  # of a case, the function and options
    default: bool = True
    needs_boxes: bool = False

    @property
    def options(self) -> tuple[str, ...]:
        """What may be chosen for it, beside what the table gives to all."""
        names = inspect.signature(self.function).parameters
        free = [name for name in names if name not in _GIVEN]
        return tuple("similarity" if name == "similarities" else name for name in free)


_GIVEN = {"model", "inputs", "targets", "maps", "map_function", "regions", "classes", "memory", "seed"}
METRICS: dict[str, _Metric] = {
    "class_sensitivity": _Metric(class_sensitivity, _Case.by_classes),
    "cascading_randomisation": _Metric(cascading_randomisation, _Case.by_weights),
    "independent_randomisation": _Metric(independent_randomisation, _Case.by_weights),
    "label_randomisation": _Metric(label_randomisation, _Case.by_function, default=False),
    "pointing_game": _Metric(pointing_game, _Case.by_boxes, needs_boxes=True),
    "energy_pointing": _Metric(energy_pointing, _Case.by_boxes, needs_boxes=True),
    "insertion": _Metric(insertion, _Case.by_maps),
    "deletion": _Metric(deletion, _Case.by_maps),
    "road": _Metric(road, _Case.by_maps),
    "infidelity": _Metric(infidelity, _Case.by_maps),
    "max_sensitivity": _Metric(max_sensitivity, _Case.by_function),
    "sparseness": _Metric(sparseness, _Case.by_maps_alone),
}


def evidence_table(
    model: nn.Module,
    inputs: Tensor,
    targets: Any,
    explainers: Mapping[str, MapFunction],
    metrics: Sequence[str] | Mapping[str, Mapping[str, Any]] | None = None,
    boxes: Regions | None = None,
    *,
    floors: bool = True,
    memory: int | str | None = None,
    seed: int = 0,
) -> EvidenceTable:
    """Measure several explainers by several metrics, with a random, a centre and an edge map as floors.

    Parameters
    ----------
    model : nn.Module
        Returns logits (N, classes).
    inputs : Tensor (N, C, H, W)
        Inputs of the model.
    targets : Tensor (N,), int or None
        The class that is explained; None for the predicted one.
    explainers : mapping of str to MapFunction
        By the names to show, e.g. ``{"Grad-CAM": wb.saliency.explainer("grad_cam", "block3")}``, or functions
        of yours of (model, inputs, targets) that return maps (N, H, W).
    metrics : sequence of str, or mapping of str to mapping, optional
        Names from ``METRICS``, or options of the metric for each name, such as ``{"deletion": {"steps":
        50}}``. By default all but ``"label_randomisation"``, which needs ``train`` and ``labels``, and those
        that need boxes only with boxes. The randomisations of weights take ``similarity``, one word.
    boxes : boxes or masks, optional
        Where the object of each target is: (N, 4) of left, top, right, bottom in pixels, or masks (N, H, W)
        of bool; more at :func:`~.regions.region_masks`.
    floors : bool
        Whether the floors are measured, too.
    memory : int or str, optional
        Bound on a batch, see :func:`~.budget.rows_at_once`.
    seed : int
        Of all that is drawn.

    Returns
    -------
    EvidenceTable
        After an interrupt, what was done.

    Raises
    ------
    ValueError
        If a metric or an option of one is unknown, a metric needs boxes or options that are not given, the
        boxes do not fit the inputs, or an explainer has the name of a floor.
    TypeError
        If the explainers are no mapping of names to functions, or the options none of names to values.

    Notes
    -----
    Cost: that of each metric, for each explainer and for each of three floors.
    """
    options = _read_metrics(metrics, boxes)
    _check_explainers(explainers)
    taken = [name for name in explainers if name in FLOORS]
    if taken:
        raise ValueError(f"explainer {taken[0]!r} has the name of a floor: {', '.join(map(repr, FLOORS))}")
    classes = fixed_targets(model, inputs, targets)
    if boxes is not None:
        region_masks(boxes, inputs[:, 0])  # refused now, and not after the metrics that need none
    rows = rows_at_once(model, inputs, memory, backward=True)
    names = (*explainers, *(FLOORS if floors else ()))
    evidence: dict[str, dict[str, Evidence]] = {}
    interrupted = False
    try:
        with progress("evidence", len(names) * len(options)) as advance:
            for name in names:
                made = evidence.setdefault(name, {})
                maps = make_maps(_map_function(name, explainers, seed), model, inputs, classes, rows)
                for metric, chosen in options.items():
                    function = _map_function(name, explainers, seed + 1)  # other draws than those of the maps
                    common = {"memory": memory, "seed": seed}
                    case = _Case(model, inputs, classes, function, maps, boxes, common)
                    made[metric] = METRICS[metric].run(case, METRICS[metric].function, **chosen)
                    if made[metric].interrupted:
                        raise KeyboardInterrupt
                    advance(1, f"{name}, {metric}")
    except KeyboardInterrupt:
        if not any(evidence.values()):
            raise
        interrupted = True
    evidence = {name: made for name, made in evidence.items() if made}
    return EvidenceTable(evidence, tuple(name for name in FLOORS if name in evidence), interrupted)


def _check_explainers(explainers: Any) -> None:
    how = 'pass {"Grad-CAM": wb.saliency.explainer("grad_cam", layer)}, functions by names to show'
    if not isinstance(explainers, Mapping):
        raise TypeError(f"explainers is a {type(explainers).__name__}: {how}")
    for name, function in explainers.items():
        if not callable(function):
            raise TypeError(f"explainer {name!r} is a {type(function).__name__}: {how}")


def _map_function(name: str, explainers: Mapping[str, MapFunction], seed: int) -> MapFunction:
    return explainers[name] if name in explainers else FLOORS[name](seed)


def _read_metrics(
    metrics: Sequence[str] | Mapping[str, Mapping[str, Any]] | None, boxes: Regions | None
) -> dict[str, dict[str, Any]]:
    """Options by metric, in order."""
    if metrics is None:
        return {
            name: {}
            for name, metric in METRICS.items()
            if metric.default and (boxes is not None or not metric.needs_boxes)
        }
    names = [metrics] if isinstance(metrics, str) else list(metrics)
    for name in names:
        if name not in METRICS:
            raise ValueError(f"metric {name!r} is not one of {', '.join(METRICS)}{suggestion(name, METRICS)}")
        if METRICS[name].needs_boxes and boxes is None:
            raise ValueError(
                f"metric {name!r} needs boxes=: where the objects are, (N, 4) or masks (N, H, W)"
            )
    options = {
        name: _read_options(name, metrics[name]) if isinstance(metrics, Mapping) else {} for name in names
    }
    if not {"train", "labels"} <= options.get("label_randomisation", {"train": ..., "labels": ...}).keys():
        raise ValueError(
            "metric 'label_randomisation' trains anew: pass metrics={'label_randomisation': {'train': train, "
            "'labels': labels}}, a function of labels that returns a trained model, and the true ones"
        )
    return options


def _read_options(metric: str, options: Any) -> dict[str, Any]:
    if not isinstance(options, Mapping):
        raise TypeError(f"options of {metric!r} are a {type(options).__name__}: pass them by name, in a dict")
    known = METRICS[metric].options
    for name in options:
        if name not in known:
            some = f"it has {', '.join(known)}" if known else "it has none"
            raise ValueError(f"metric {metric!r} has no option {name!r}: {some}{suggestion(name, known)}")
    return dict(options)
