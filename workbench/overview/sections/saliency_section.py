"""The section on reasons: where in some examples a prediction has them, and whether to believe it."""

import dataclasses
import math
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from workbench.overview.caution import Caution
from workbench.overview.finding import FEWEST, Finding
from workbench.overview.planning import Cost, Level
from workbench.overview.section import Section, join, plural
from workbench.overview.setting import Setting
from workbench.overview.watch import Watch
from workbench.problem import Problem
from workbench.result import new_axes
from workbench.saliency import SaliencyMaps, TokenMaps, explain, explain_tokens, explainer
from workbench.saliency.evidence import Evidence, EvidenceTable, evidence_table
from workbench.saliency.experiments import text_evidence, token_names, usual_layers
from workbench.saliency.pictures import as_picture
from workbench.saliency.token_explanation import default_token_layers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_EXAMPLES = 6
_METRICS = ("class_sensitivity", "independent_randomisation", "deletion")
_FAITHFUL = ("deletion", "agreement with replacement")  # in which a map that knows nothing may be beaten
_SIMILAR = {"class_sensitivity": "class", "independent_randomisation": "weights of the network"}
_SAME = 0.8  # correlation of maps: above that they are called the same
_PASSES = 900.0  # examples' worth of gradients that the evidence of pictures takes
_TEXT_PASSES = 40.0  # the same of texts, for each token


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class SaliencySection(Section):
    """Where predictions have their reasons.

    Attributes
    ----------
    names : tuple of str
        What each of the maps of pictures is called.
    maps : tuple of SaliencyMaps
        Of pictures: the last map of each is shown.
    tokens : TokenMaps or None
        Of texts.
    evidence : EvidenceTable or None
    """

    key: ClassVar[str] = "saliency"
    title: ClassVar[str] = "Reasons of predictions"
    notebook: ClassVar[str] = "saliency"
    size: ClassVar[tuple[float, float]] = (8.0, 4.6)

    names: tuple[str, ...] = ()
    maps: tuple[SaliencyMaps, ...] = ()
    tokens: TokenMaps | None = None
    evidence: EvidenceTable | None = None

    @property
    def examples(self) -> int:
        """Pictures or texts that are shown."""
        if self.tokens is not None:
            return len(self.tokens.tokens)
        return len(self.maps[0].targets) if self.maps else 0

    @property
    def sentence(self) -> str:
        """Which maps say more than ones that know nothing of the network."""
        if not self.drawable:
            return "There are no pictures or texts whose reasons could be shown."
        what = "picture" if self.maps else "text"
        text = f"Maps of {plural(self.examples, what)} show where their predictions have their reasons"
        if self.evidence is None:
            return f"{text}; whether to believe them was not measured."
        beaten = [name for name, _, beats in self._comparisons if beats]
        if not beaten:
            return (
                f"{text}, but what they mark counts no more than what maps mark that know nothing of the "
                "network."
            )
        return (
            f"{text}; what {join(beaten)} marks counts more than what maps mark that know nothing of the "
            "network."
        )

    @property
    def caption(self) -> str:
        """How to read the maps."""
        if self.tokens is not None:
            text = (
                f"{plural(self.examples, 'text')} of the data; the darker a token, the more the likeliest "
                "next one changes with it."
            )
            if self.evidence is not None:
                text += " Below, the evidence: how such maps rank against what replacing each token does."
            return text
        rows = join([f"row {row}: {name}" for row, name in enumerate(self.names, start=2)])
        text = (
            f"Row 1: {plural(self.examples, 'example')} with the class that was predicted; {rows}. Bright "
            "places raise the score of that class."
        )
        if self.evidence is not None:
            text += (
                " Deletion is the share of the score that is left as what they mark is taken away, beside "
                "the best of a random map, one of the centre and one of edges; similarities are of maps of "
                "two classes, or of two networks, one with random weights: all lower if better, on these "
                "examples."
            )
        return text

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Each metric of each map, with its bootstrap interval, and the best of the floors."""
        if self.evidence is None:
            return ()
        found = [
            _finding(f"{metric.replace('_', ' ')}, {name}", each)
            for name, metrics in self._own.items()
            for metric, each in metrics.items()
            if each.n
        ]
        floors = {metric: self._best_floor(metric) for metric in self.evidence.metrics if metric in _FAITHFUL}
        found += [
            _finding(f"{metric.replace('_', ' ')}, best of the floors", self.evidence.evidence[floor][metric])
            for metric, floor in floors.items()
            if floor
        ]
        return tuple(found)

    @property
    def cautions(self) -> tuple[Caution, ...]:
        """Maps that cannot depend on the class, and maps that no evidence speaks for."""
        found = [
            Caution(
                f"{name} could not have been another map for any class: {maps.maps[-1].reason}",
                "class-blind maps",
                1,
                1,
            )
            for name, maps in zip(self.names, self.maps, strict=True)
            if maps.maps[-1].class_blind
        ]
        for name, metric, beats in self._comparisons:
            if not beats:
                assert self.evidence is not None
                mean = self.evidence.evidence[name][metric].mean
                floor = self._best_floor(metric)
                found.append(
                    Caution(
                        f"by {metric.replace('_', ' ')} what {name} marks counts no more than what the "
                        f"{floor} marks",
                        f"{metric.replace('_', ' ')}, {name}",
                        mean,
                        self.evidence.evidence[floor][metric].mean,
                    )
                )
        for name, metrics in self._own.items():
            for metric, what in _SIMILAR.items():
                if metric in metrics and metrics[metric].n and metrics[metric].low > _SAME:
                    found.append(
                        Caution(
                            f"maps of {name} hardly change with the {what}",
                            f"{metric.replace('_', ' ')}, {name}",
                            metrics[metric].low,
                            _SAME,
                        )
                    )
        return tuple(found)

    @property
    def drawable(self) -> bool:
        """Whether there are maps."""
        return bool(self.maps) or self.tokens is not None

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Six examples, and their maps below each other."""
        ax = new_axes(ax)
        ax.set_axis_off()
        if self.tokens is not None:
            count = len(self.tokens.tokens)
            for sample in range(count):
                panel = ax.inset_axes((0.0, 1 - (sample + 1) / count, 1.0, 0.8 / count))
                self.tokens.plot(panel, sample=sample)
                panel.set_title("")
                panel.set_yticks([])
                panel.set_xlabel("")
        elif self.maps:
            self._plot_pictures(ax)
        return ax

    def _plot_pictures(self, ax: "Axes") -> None:
        inputs = self.maps[0].inputs
        assert inputs is not None  # the first maps keep them
        rows, columns = 1 + len(self.maps), len(inputs)
        for column in range(columns):
            for row in range(rows):
                place = (column / columns, 1 - (row + 1) / rows, 0.94 / columns, 0.86 / rows)
                panel = ax.inset_axes(place)
                if row:
                    self.maps[row - 1].maps[-1].plot(panel, sample=column)
                    panel.set_title("")
                    continue
                picture = as_picture(inputs[column])
                assert picture is not None  # it has one or three channels
                panel.imshow(picture, cmap="gray")
                panel.set_axis_off()
                panel.set_title(f"class {int(self.maps[0].targets[column, 0])}", fontsize="small")

    @property
    def _own(self) -> dict[str, dict[str, Evidence]]:
        """Evidence for the maps, without that for the floors."""
        if self.evidence is None:
            return {}
        return {
            name: metrics
            for name, metrics in self.evidence.evidence.items()
            if name not in self.evidence.floors
        }

    @property
    def _comparisons(self) -> list[tuple[str, str, bool]]:
        """Each map and metric that has a better side, and whether it beats every floor."""
        found = []
        for name, metrics in self._own.items():
            for metric, each in metrics.items():
                floor = self._best_floor(metric)
                if metric not in _FAITHFUL or not each.n or not floor:
                    continue
                assert self.evidence is not None
                sign = -1 if each.better == "lower" else 1
                beats = sign * each.mean > sign * self.evidence.evidence[floor][metric].mean
                found.append((name, metric, bool(beats)))
        return found

    def _best_floor(self, metric: str) -> str:
        """Name of the best map that knows nothing of the network; empty if none is defined."""
        assert self.evidence is not None
        known = {
            name: self.evidence.evidence[name][metric]
            for name in self.evidence.floors
            if metric in self.evidence.evidence[name] and self.evidence.evidence[name][metric].n
        }
        if not known:
            return ""
        sign = -1 if next(iter(known.values())).better == "lower" else 1
        return max(known, key=lambda name: sign * known[name].mean)


def offer(setting: Setting) -> list[Level]:
    """Return whether only maps are made, or the evidence for them, too."""
    count = setting.problem.num_examples
    inputs = _inputs(setting.problem)
    passes = _PASSES
    if inputs is not None and inputs.dim() == 2:
        passes = _TEXT_PASSES * inputs.shape[1]
    maps = Level(Cost(gradients=4 * _EXAMPLES / count), {"evidence": 0})
    return [maps, Level(Cost(gradients=(passes + 4 * _EXAMPLES) / count), {"evidence": 1})]


def measure(setting: Setting, watch: Watch, *, evidence: int) -> SaliencySection:
    """Explain the predictions of some examples."""
    problem = setting.problem
    inputs = _inputs(problem)
    maps: dict[str, SaliencyMaps] = {}
    tokens = table = None
    if inputs is None:
        watch.skip("maps", "the inputs are neither pictures (N, 1 or 3, H, W) nor tokens (N, T)")
    elif inputs.dim() == 2:
        tokens = watch.measure("maps of texts", _explain_texts, problem, inputs)
        if tokens is not None and evidence:
            table = watch.measure("evidence", text_evidence, problem, _EXAMPLES, seed=setting.seed)
    else:
        layers = watch.measure("layers", usual_layers, problem) or ()
        chosen = _choose_maps(layers)
        for name, (method, places, combine) in chosen.items():
            made = watch.measure(
                name, explain, problem.model, inputs, None, method, places, combine=combine,
                keep_inputs=not maps,
            )  # fmt: skip
            if made is not None:
                maps[name] = made
        if maps and evidence:
            explainers = {
                name: explainer(method, places, combine=combine)
                for name, (method, places, combine) in chosen.items()
            }
            table = watch.measure(
                "evidence", evidence_table, problem.model, inputs, None, explainers, _METRICS,
                seed=setting.seed,
            )  # fmt: skip
    passes = (
        (_PASSES if inputs is None or inputs.dim() != 2 else _TEXT_PASSES * inputs.shape[1]) if table else 0
    )
    return SaliencySection(
        left_out=tuple(watch.left_out),
        gradients=(passes + 4 * _EXAMPLES * bool(maps or tokens)) / problem.num_examples,
        seconds=watch.seconds,
        interrupted=watch.interrupted,
        names=tuple(maps),
        maps=tuple(maps.values()),
        tokens=tokens,
        evidence=table,
    )


def _finding(name: str, found: Evidence) -> Finding:
    if found.n < FEWEST or not math.isfinite(found.low):
        return Finding(name, found.mean, kind=f"from {plural(found.n, 'example')}: too few for an interval")
    return Finding(name, found.mean, found.low, found.high, "95 %")


def _choose_maps(layers: tuple[str, ...]) -> dict[str, tuple[str, Any, str | None]]:
    """Method, layers and combination by the name to show; a network without maps inside has its input's."""
    if len(layers) < 2:
        return {
            "gradient": ("gradient", "input", None),
            "gradient × input": ("gradient_times_input", "input", None),
        }
    return {
        f"Grad-CAM at {layers[-1]}": ("grad_cam", layers[-1], None),
        "NormGrad of all layers": ("norm_grad", list(layers[1:]), "product"),
    }


def _inputs(problem: Problem) -> Tensor | None:
    """The first six inputs, if they are pictures or texts; of a first shape, if there are several."""
    found: list[Tensor] = []
    for batch, _ in problem.batches():
        inputs = batch[0] if isinstance(batch, list | tuple) and len(batch) == 2 else None
        if not isinstance(inputs, Tensor) or not (_are_pictures(inputs) or _are_texts(inputs)):
            return None
        if found and inputs.shape[1:] != found[0].shape[1:]:
            break
        found.append(inputs[: _EXAMPLES - sum(map(len, found))])
        if sum(map(len, found)) == _EXAMPLES:
            break
    return torch.cat(found)


def _are_pictures(inputs: Tensor) -> bool:
    return inputs.dim() == 4 and inputs.is_floating_point() and inputs.shape[1] in (1, 3)


def _are_texts(inputs: Tensor) -> bool:
    return inputs.dim() == 2 and not inputs.is_floating_point() and inputs.dtype != torch.bool


def _explain_texts(problem: Problem, codes: Tensor) -> TokenMaps:
    layers = default_token_layers(problem.model)[:1]
    return explain_tokens(
        problem.model, codes, methods=("norm_grad",), layers=layers, names=token_names(problem)
    )
