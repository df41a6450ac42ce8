"""``meta_gain``: what a step on the input does to class sensitivity and placement of its map."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from workbench.colors import BLUE, GREEN, ORANGE, SKY, VERMILION
from workbench.progress import progress
from workbench.result import Result, new_axes
from workbench.saliency.evidence import Evidence, compare_maps, pointing_game
from workbench.saliency.experiments.layerwise import POINTING, SENSITIVITY
from workbench.saliency.meta import MetaMaps, meta_saliency
from workbench.saliency.methods import Method
from workbench.saliency.pictures import resize
from workbench.saliency.scores import extreme_targets

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from workbench.problems.canvases import LocatedObjects

STEPS = (1e-4, 2.5e-3, 1e-2)  # of the authors' function, of their study, and beyond
_COLORS = (BLUE, VERMILION, GREEN, ORANGE, SKY, "black")


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class MetaGain(Result):
    """Class sensitivity, and pointing game, of maps before and after a step on their input.

    Attributes
    ----------
    method : str
    layers : tuple of str
    steps : tuple of float
        The first is 0: the plain map.
    evidence : dict of str to list of list of Evidence
        By metric, layer and step.
    changes : list of list of Evidence
        By layer and step: change of the class sensitivity of each input against the plain map.
    interrupted : bool
        Whether there were more layers.
    """

    method: str
    layers: tuple[str, ...]
    steps: tuple[float, ...]
    evidence: dict[str, list[list[Evidence]]]
    changes: list[list[Evidence]]
    interrupted: bool = False

    def frame(self) -> pd.DataFrame:
        """One row per metric, layer and step: mean, 95 % interval, samples."""
        rows = [
            {
                "metric": metric,
                "layer": layer,
                "step": step,
                "mean": found.mean,
                "low": found.low,
                "high": found.high,
                "n": found.n,
                "undefined": found.undefined,
            }
            for metric, by_layer in {**self.evidence, "change of class sensitivity": self.changes}.items()
            for layer, by_step in zip(self.layers, by_layer, strict=True)
            for step, found in zip(self.steps, by_step, strict=True)
        ]
        return pd.DataFrame(rows)

    def plot(self, ax: "Axes | None" = None, metric: str = SENSITIVITY) -> "Axes":
        """Draw a line per layer over the step's length, with intervals."""
        ax = new_axes(ax)
        places = np.arange(len(self.steps))
        offsets = np.linspace(-0.1, 0.1, len(self.layers)) if len(self.layers) > 1 else [0.0]
        for number, (layer, offset) in enumerate(zip(self.layers, offsets, strict=True)):
            found = self.evidence[metric][number]
            color = _COLORS[number % len(_COLORS)]
            ax.plot(
                places + offset, [each.mean for each in found], "o-", color=color, markersize=4, label=layer
            )
            ax.vlines(places + offset, [e.low for e in found], [e.high for e in found], color=color)
        ax.set_xticks(places, ["plain" if not step else f"{step:g}" for step in self.steps])
        ax.set_xlabel("length ε of the step on the input's own loss")
        ax.set_ylabel(metric + (" (lower is better)" if metric == SENSITIVITY else " (higher is better)"))
        ax.set_title(f"{self.method} before and after the step, 95 % intervals", fontsize="small")
        ax.legend(fontsize="x-small")
        return ax

    def summary(self) -> str:
        """For each layer and step: the metrics, and the change with its interval."""
        lines = [
            f"meta-saliency of {self.method}" + (", INTERRUPTED before the rest" if self.interrupted else "")
        ]
        for number, layer in enumerate(self.layers):
            for place, step in enumerate(self.steps):
                told = [
                    f"{metric} {by_layer[number][place].mean:.3g}"
                    for metric, by_layer in self.evidence.items()
                ]
                change = self.changes[number][place]
                moved = f", change {change.mean:+.2g} [{change.low:+.2g}, {change.high:+.2g}]" if step else ""
                lines.append(f"{layer}, ε = {step:g}: {', '.join(told)}{moved}")
        return "\n".join(lines)


def meta_gain(
    model: nn.Module,
    inputs: Tensor,
    layers: Sequence[str],
    method: str | Method | tuple[str, str] = "norm_grad",
    *,
    steps: Sequence[float] = STEPS,
    located: "LocatedObjects | None" = None,
    tolerance: float = 0,
    score: str = "logit",
    rows: int = 8,
    seed: int = 0,
) -> MetaGain:
    """Measure meta-saliency: the class sensitivity, and the pointing game, for each layer and step.

    Parameters
    ----------
    model : nn.Module
        Returns logits (N, classes); in eval mode.
    inputs : Tensor (N, C, H, W)
        For the class sensitivity; the step for the map of a class is one on the loss of this class.
    layers : sequence of str
        See :func:`~workbench.saliency.meta_saliency`.
    method, score, rows
        See :func:`~workbench.saliency.meta_saliency`.
    steps : sequence of float
        Their lengths; the plain map comes first by itself.
    located : LocatedObjects, optional
        For the pointing game, whose mean is then over the classes.
    tolerance : float
        Of the pointing game, in pixels.
    seed : int
        Of the bootstrap.

    Returns
    -------
    MetaGain
        After an interrupt, the layers that were done.

    Raises
    ------
    ValueError
        See :func:`~workbench.saliency.meta_saliency`.

    Notes
    -----
    Cost for each layer and step: 6 forward and 6 backward passes over ``inputs``, 3 of each over the located.
    """
    if not layers or not steps:
        raise ValueError("layers or steps is empty: name at least one of each")
    with torch.no_grad():
        extremes = torch.cat([extreme_targets(model(part)) for part in inputs.split(rows)])
    evidence: dict[str, list[list[Evidence]]] = {SENSITIVITY: []}
    if located is not None:
        evidence[POINTING] = []
    changes: list[list[Evidence]] = []
    done: list[str] = []
    name = ""
    try:
        with progress("meta-saliency", len(layers) * len(steps)) as advance:
            for layer in layers:
                correlations: list[np.ndarray] = []
                hits: list[Tensor] = []
                for step in steps:

                    def maps_of(
                        pictures: Tensor, targets: Tensor, layer: str = layer, step: float = step
                    ) -> MetaMaps:
                        return meta_saliency(
                            model, pictures, targets, method, layer, step=step, score=score, rows=rows
                        )

                    maps = maps_of(inputs, extremes)
                    name = maps.method
                    if not correlations:
                        correlations.append(_correlation(maps.plain, maps.size))
                    correlations.append(_correlation(maps.maps, maps.size))
                    if located is not None:
                        found = maps_of(located.inputs, located.targets)
                        if not hits:
                            hits.append(resize(found.plain, found.size)[:, 0])
                        hits.append(found.sized[:, 0])
                    advance(1, f"{layer}, ε = {step:g}")
                evidence[SENSITIVITY].append(
                    [_evidence(values, SENSITIVITY, seed) for values in correlations]
                )
                changes.append(
                    [
                        _evidence(values - correlations[0], f"change of {SENSITIVITY}", seed)
                        for values in correlations
                    ]
                )
                if located is not None:
                    evidence[POINTING].append(
                        [
                            pointing_game(
                                each, located.boxes, located.targets, tolerance=tolerance, seed=seed
                            )
                            for each in hits
                        ]
                    )
                done.append(layer)
    except KeyboardInterrupt:
        if not done:
            raise
    return MetaGain(
        method=name,
        layers=tuple(done),
        steps=(0.0, *map(float, steps)),
        evidence=evidence,
        changes=changes,
        interrupted=len(done) < len(layers),
    )


def _correlation(maps: Tensor, size: tuple[int, ...]) -> np.ndarray:
    """Correlation of the two maps (N, 2, h, w) of each input, at the size of the input."""
    sized = resize(maps, size)
    return compare_maps(sized[:, 0], sized[:, 1], "pearson")


def _evidence(values: np.ndarray, metric: str, seed: int) -> Evidence:
    return Evidence(metric=metric, values=values, better="lower", seed=seed)
