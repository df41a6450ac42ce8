"""``layer_story``: how class-sensitive, and how well placed, maps of each method are at each layer."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from workbench.choices import check_choice, check_count
from workbench.colors import BLUE, GREEN, ORANGE, SKY, VERMILION
from workbench.progress import progress
from workbench.result import Result, new_axes
from workbench.saliency.combination import Combination, combine_layers
from workbench.saliency.evidence import FLOORS, Evidence, compare_maps, pointing_game
from workbench.saliency.explanation import explain
from workbench.saliency.maps import SaliencyMap
from workbench.saliency.methods import Method
from workbench.saliency.scores import extreme_targets

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from workbench.problems.canvases import LocatedObjects

SENSITIVITY, POINTING = "class sensitivity", "pointing game"
_COLORS = (BLUE, VERMILION, GREEN, ORANGE, SKY, "black")
_FLOOR_LINES = dict(zip(FLOORS, (":", "--", "-."), strict=True))


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class LayerStory(Result):
    """Metrics of maps by method and layer, on the same inputs.

    Attributes
    ----------
    evidence : dict of str to dict of str to dict of str to Evidence
        By metric, method and layer.
    floors : dict of str to Evidence
        The pointing game of maps that know nothing of the network.
    layers : tuple of str
        From input to output; combinations last.
    combinations : tuple of str
        Which of the layers are combinations of the others.
    blind : dict of str to dict of str to str
        By method and layer: why maps cannot depend on the class, where they cannot.
    forwards, backwards : float
        Passes, each over all inputs of a metric.
    interrupted : bool
        Whether there were more inputs.
    """

    evidence: dict[str, dict[str, dict[str, Evidence]]]
    floors: dict[str, Evidence]
    layers: tuple[str, ...]
    combinations: tuple[str, ...]
    blind: dict[str, dict[str, str]]
    forwards: float
    backwards: float
    interrupted: bool = False

    @property
    def metrics(self) -> tuple[str, ...]:
        """What was measured."""
        return tuple(self.evidence)

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods, in order."""
        return tuple(self.evidence[SENSITIVITY])

    def at(self, metric: str, method: str, layer: str) -> Evidence:
        """Return one metric of one method at one layer.

        Raises
        ------
        ValueError
            If there is none.
        """
        check_choice("metric", metric, self.metrics)
        check_choice("method", method, self.methods)
        check_choice("layer", layer, self.layers)
        return self.evidence[metric][method][layer]

    def frame(self) -> pd.DataFrame:
        """One row per metric, method and layer: mean, 95 % interval, defined and undefined samples."""
        rows = [
            {
                "metric": metric,
                "method": method,
                "layer": layer,
                "mean": found.mean,
                "low": found.low,
                "high": found.high,
                "n": found.n,
                "undefined": found.undefined,
                "class_blind": bool(self.blind[method][layer]),
            }
            for metric, methods in self.evidence.items()
            for method, layers in methods.items()
            for layer, found in layers.items()
        ]
        return pd.DataFrame(rows)

    def table(self, metric: str = SENSITIVITY) -> pd.DataFrame:
        """The means of one metric, a row per method and a column per layer."""
        check_choice("metric", metric, self.metrics)
        frame = self.frame().query("metric == @metric")
        table = frame.pivot_table("mean", "method", "layer", dropna=False)
        return table.loc[list(self.methods), list(self.layers)]

    def plot(self, ax: "Axes | None" = None, metric: str = SENSITIVITY) -> "Axes":
        """Draw a line per method over the layers, with intervals; hollow: the map cannot see the class."""
        check_choice("metric", metric, self.metrics)
        ax = new_axes(ax)
        places = np.arange(len(self.layers))
        single = len(self.layers) - len(self.combinations)
        offsets = np.linspace(-0.2, 0.2, len(self.methods)) if len(self.methods) > 1 else [0.0]
        for number, (method, offset) in enumerate(zip(self.methods, offsets, strict=True)):
            color = _COLORS[number % len(_COLORS)]
            dash = "-" if number < len(_COLORS) else "--"
            found = [self.evidence[metric][method][layer] for layer in self.layers]
            x, mean = places + offset, np.array([each.mean for each in found])
            ax.plot(x[:single], mean[:single], dash, color=color, linewidth=1)
            ax.vlines(x, [each.low for each in found], [each.high for each in found], color=color)
            blind = np.array([bool(self.blind[method][layer]) for layer in self.layers])
            ax.plot(x[~blind], mean[~blind], "o", color=color, markersize=4, label=method)
            ax.plot(x[blind], mean[blind], "o", color=color, markersize=5, markerfacecolor="white")
        if metric == POINTING:
            for name, floor in self.floors.items():
                ax.axhline(floor.mean, color="0.6", linewidth=1, linestyle=_FLOOR_LINES[name], label=name)
        else:
            ax.axhline(1, color="0.6", linewidth=1)
            ax.axhline(0, color="0.6", linewidth=1)
        ax.set_xticks(places, self.layers, rotation=20, ha="right", fontsize="small")
        arrow = " (higher is better)" if metric == POINTING else ": correlation (lower is better)"
        ax.set_ylabel(metric + arrow)
        ax.set_xlabel("layer, from input to output; hollow: cannot see the class")
        ax.legend(fontsize="x-small")
        count = max(each.n for by_layer in self.evidence[metric].values() for each in by_layer.values())
        ax.set_title(f"{metric} on {count} inputs, 95 % intervals", fontsize="small")
        return ax

    def summary(self) -> str:
        """For each metric the best method and layer, the class-blind maps, and the cost."""
        lines = [
            f"{len(self.methods)} methods × {len(self.layers)} layers"
            + (", INTERRUPTED before the rest" if self.interrupted else "")
        ]
        for metric, methods in self.evidence.items():
            sign = -1 if metric == SENSITIVITY else 1
            cells = [
                (sign * found.mean, method, layer, found)
                for method, layers in methods.items()
                for layer, found in layers.items()
                if found.n
            ]
            if cells:
                _, method, layer, found = max(cells, key=lambda cell: cell[0])
                lines.append(
                    f"{metric}: best {method} at {layer}, {found.mean:.3g} "
                    f"[{found.low:.3g}, {found.high:.3g}] on {found.n} inputs"
                )
        names = [
            f"{method} at {layer}"
            for method, layers in self.blind.items()
            for layer, reason in layers.items()
            if reason
        ]
        if names:
            lines.append(f"CLASS-BLIND: {', '.join(names)}")
        if self.floors:
            floors = ", ".join(f"{name} {floor.mean:.3g}" for name, floor in self.floors.items())
            lines.append(f"floors of the {POINTING}: {floors}")
        lines.append(f"{self.forwards:.3g} forward and {self.backwards:.3g} backward passes")
        return "\n".join(lines)


def layer_story(
    model: nn.Module,
    inputs: Tensor,
    methods: Sequence[str | Method | tuple[str, str]],
    layers: Sequence[str] | None = None,
    *,
    located: "LocatedObjects | None" = None,
    tolerance: float = 0,
    combinations: Sequence[str | Combination] = (),
    score: str = "logit",
    rows: int = 32,
    seed: int = 0,
) -> LayerStory:
    """Measure maps of many methods at many layers together: each pass serves all of them.

    Parameters
    ----------
    model : nn.Module
        Returns logits (N, classes); in eval mode.
    inputs : Tensor (N, C, H, W)
        For the class sensitivity: the correlation of the maps, resized to the input, for the classes of the
        largest and the smallest logit.
    methods, layers, score
        See :func:`~workbench.saliency.explain`.
    located : LocatedObjects, optional
        For the pointing game, whose mean is then over the classes.
    tolerance : float
        Of the pointing game, in pixels.
    combinations : sequence of str or Combination
        Added as further layers.
    rows : int
        Inputs that are explained at once.
    seed : int
        Of the bootstrap and of the random floor.

    Returns
    -------
    LayerStory

    Raises
    ------
    ValueError
        See :func:`~workbench.saliency.explain`.

    Notes
    -----
    Cost: over ``inputs`` two forward passes and two backward passes; over the located inputs one of each, and
    two backward passes more if a combination weighs layers by their class sensitivity.
    """
    check_count("rows", rows)
    chosen = [Combination(each) if isinstance(each, str) else each for each in combinations]
    extremes = _Maps(model, methods, layers, score, chosen, rows).of(inputs, None)
    evidence: dict[str, dict[str, dict[str, Evidence]]] = {SENSITIVITY: {}}
    blind: dict[str, dict[str, str]] = {}
    for entry in extremes.entries:
        evidence[SENSITIVITY].setdefault(entry.method, {})[entry.layer] = _sensitivity(entry, seed)
        blind.setdefault(entry.method, {})[entry.layer] = entry.reason
    floors: dict[str, Evidence] = {}
    forwards, backwards, interrupted = extremes.forwards, extremes.backwards, extremes.interrupted
    if located is not None and not interrupted:
        maps = _Maps(model, methods, layers, score, chosen, rows).of(located.inputs, located.targets)
        forwards, backwards = forwards + maps.forwards, backwards + maps.backwards
        interrupted = maps.interrupted
        boxes, targets = located.boxes[: maps.count], located.targets[: maps.count]
        evidence[POINTING] = {}
        for entry in maps.entries:
            found = pointing_game(entry.sized[:, 0], boxes, targets, tolerance=tolerance, seed=seed)
            evidence[POINTING].setdefault(entry.method, {})[entry.layer] = found
        shown = located.inputs[: maps.count]
        for name, floor in FLOORS.items():
            floors[name] = pointing_game(
                floor(seed)(model, shown, targets), boxes, targets, tolerance=tolerance, seed=seed
            )
    names = tuple(dict.fromkeys(entry.layer for entry in extremes.entries))
    return LayerStory(
        evidence=evidence,
        floors=floors,
        layers=names,
        combinations=tuple(each.name for each in chosen),
        blind=blind,
        forwards=forwards,
        backwards=backwards,
        interrupted=interrupted,
    )


@dataclasses.dataclass
class _Maps:
    """Maps of all inputs, made in batches, and combined when all are there."""

    model: nn.Module
    methods: Sequence[str | Method | tuple[str, str]]
    layers: Sequence[str] | None
    score: str
    combinations: Sequence[Combination]
    rows: int
    entries: tuple[SaliencyMap, ...] = ()
    forwards: float = 0.0
    backwards: float = 0.0
    count: int = 0
    interrupted: bool = False

    def of(self, inputs: Tensor, targets: Tensor | None) -> "_Maps":
        """Explain the targets (N,), or the classes of the largest and the smallest logit."""
        parts: list[Any] = []
        try:
            with progress("maps", len(inputs)) as advance:
                for start in range(0, len(inputs), self.rows):
                    part = inputs[start : start + self.rows]
                    asked, passes = self._asked(
                        part, None if targets is None else targets[start:][: self.rows]
                    )
                    found = explain(
                        self.model, part, asked, self.methods, self.layers, self.score, keep_inputs=False
                    )
                    share = len(part) / len(inputs)
                    self.forwards += share * (passes + found.forwards)
                    self.backwards += share * found.backwards
                    parts.append(found.maps)
                    self.count += len(part)
                    advance(len(part))
        except KeyboardInterrupt:
            if not parts:
                raise
            self.interrupted = True
        joined = [_join(entries) for entries in zip(*parts, strict=True)]
        first = 0 if targets is None else 1  # place of the extreme targets
        for combination in self.combinations:
            joined += combine_layers(joined[: len(parts[0])], combination, first)
        self.entries = tuple(joined)
        return self

    def _asked(self, part: Tensor, targets: Tensor | None) -> tuple[Tensor, int]:
        """Targets (N, T), and how many forward passes it took to know them."""
        if targets is not None and not any(each.needs_extremes for each in self.combinations):
            return targets[:, None], 0
        with torch.no_grad():
            extremes = extreme_targets(self.model(part))
        known = [] if targets is None else [targets[:, None].to(extremes)]
        return torch.cat([*known, extremes], dim=1), 1


def _join(entries: Sequence[SaliencyMap]) -> SaliencyMap:
    """One entry of those of all batches; class-blind if it is so in each."""
    blind = all(each.class_blind for each in entries)
    return entries[0].replace(
        raw=torch.cat([each.raw for each in entries]),
        class_blind=blind,
        reason=entries[0].reason if blind else "",
    )


def _sensitivity(entry: SaliencyMap, seed: int) -> Evidence:
    sized = entry.sized
    return Evidence(
        metric=SENSITIVITY,
        values=compare_maps(sized[:, 0], sized[:, 1], "pearson"),
        better="lower",
        notes=("pearson of the maps for the classes of largest and smallest logit; 1 is class-blind",),
        maps_made=2 * len(sized),
        seed=seed,
    )
