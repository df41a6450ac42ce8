"""``cascade``: how maps change as a network is drawn anew from its output down, many methods at once."""

import copy
import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from torch import Tensor, nn

from workbench.choices import check_choice, check_count
from workbench.colors import BLUE, GREEN, ORANGE, SKY, VERMILION
from workbench.progress import progress
from workbench.result import Result, new_axes
from workbench.saliency.evidence import SIMILARITIES, Evidence, compare_maps
from workbench.saliency.evidence.reinitialisation import reinitialise, weighted_layers
from workbench.saliency.explanation import explain
from workbench.saliency.maps import SaliencyMaps
from workbench.saliency.methods import Method

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLORS = (BLUE, VERMILION, GREEN, ORANGE, SKY, "black")


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class Cascade(Result):
    """Similarity of maps to those of the trained network, as more and more of it is random.

    Attributes
    ----------
    evidence : dict of str to dict of str to Evidence
        By method and layer; the curves are over the stages, the values their means.
    similarity : str
    depths : tuple of int
        How many of the modules with weights are random at each stage, from the output down.
    modules : tuple of str
        The last module that was drawn anew at each stage.
    of : int
        How many modules with weights there are.
    interrupted : bool
        Whether there were more stages.
    """

    evidence: dict[str, dict[str, Evidence]]
    similarity: str
    depths: tuple[int, ...]
    modules: tuple[str, ...]
    of: int
    interrupted: bool = False

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods, in order."""
        return tuple(self.evidence)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers, from input to output."""
        return tuple(next(iter(self.evidence.values())))

    def frame(self) -> pd.DataFrame:
        """One row per method, layer and stage: mean similarity, 95 % interval, and how many are defined."""
        tables = [
            found.curve_frame()
            .rename(columns={"position": "modules_random", "name": "down_to"})
            .assign(method=method, layer=layer)
            for method, layers in self.evidence.items()
            for layer, found in layers.items()
        ]
        table = pd.concat(tables, ignore_index=True)
        return table[["method", "layer", "modules_random", "down_to", "mean", "low", "high", "n"]]

    def plot(self, ax: "Axes | None" = None, layer: str | None = None) -> "Axes":
        """Draw a curve per method at one layer, by default the last, with intervals; 1 is the same map."""
        layer = self.layers[-1] if layer is None else layer
        check_choice("layer", layer, self.layers)
        ax = new_axes(ax)
        for number, method in enumerate(self.methods):
            found = self.evidence[method][layer]
            if not found.n:
                ax.plot([], [], color=_COLORS[number % len(_COLORS)], label=f"{method}: constant map")
                continue
            found.plot_curve(ax, _COLORS[number % len(_COLORS)], method)
        ax.axhline(0, color="0.6", linewidth=0.8)
        ax.axhline(1, color="0.6", linewidth=0.8)
        ax.set_xticks(self.depths, [str(depth) for depth in self.depths], rotation=0, fontsize="small")
        ax.set_xlabel(f"modules drawn anew, from the output down, of {self.of}")
        ax.set_ylabel(f"{self.similarity} correlation with the original map")
        ax.set_title(f"maps at {layer}, 95 % intervals", fontsize="small")
        ax.legend(fontsize="x-small")
        return ax

    def summary(self) -> str:
        """How similar the maps are when the classifier, and when the whole network is random."""
        head = f"{self.of} modules drawn anew in {len(self.depths)} stages, targets fixed" + (
            ", INTERRUPTED before the rest" if self.interrupted else ""
        )
        lines = [head]
        for method, layers in self.evidence.items():
            for layer, found in layers.items():
                if found.n:
                    table = found.curve_frame()
                    first, last = table.iloc[0], table.iloc[-1]
                    lines.append(
                        f"{method} at {layer}: {first['mean']:.2g} after {self.depths[0]}, "
                        f"{last['mean']:.2g} after {self.depths[-1]}"
                    )
        return "\n".join(lines)


def cascade(
    model: nn.Module,
    inputs: Tensor,
    methods: Sequence[str | Method | tuple[str, str]],
    layers: Sequence[str] | None = None,
    target: Any = None,
    *,
    stages: int = 10,
    similarity: str = "spearman",
    score: str = "logit",
    seed: int = 0,
) -> Cascade:
    """Follow maps while the modules with weights are drawn anew, one after the other, from the output down.

    What :func:`~workbench.saliency.evidence.cascading_randomisation` does for one map function at every
    module, here for many methods and layers at once, at some of the modules, and of the maps as they are at
    their layer. The target stays that of the trained network. The model is copied, never touched.

    Parameters
    ----------
    model : nn.Module
        Returns logits (N, classes); in eval mode.
    inputs : Tensor (N, C, H, W)
        All at once.
    methods, layers, target, score
        See :func:`~workbench.saliency.explain`.
    stages : int
        Maps are compared so often, evenly spaced over the modules, the first and the last included.
    similarity : str
        See :func:`~workbench.saliency.evidence.compare_maps`.
    seed : int
        Of the weights and of the bootstrap.

    Returns
    -------
    Cascade
        After an interrupt, the stages that were done.

    Raises
    ------
    ValueError
        If a name is unknown, or the model has no weights.

    Notes
    -----
    Cost: a forward and a backward pass for each stage and one more, one copy of the model.
    Source: Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018, arXiv:1810.03292.
    """
    check_choice("similarity", similarity, tuple(SIMILARITIES))
    check_count("stages", stages)
    modules = weighted_layers(model, inputs)[::-1]
    if not modules:
        raise ValueError("the model has no weights to draw anew")
    original = explain(model, inputs, target, methods, layers, score, keep_inputs=False)
    names = list(original.layers)
    depths = sorted({round(depth) for depth in np.linspace(1, len(modules), min(stages, len(modules)))})
    curves: dict[tuple[str, str], list[np.ndarray]] = {(m.method, m.layer): [] for m in original.maps}
    altered = copy.deepcopy(model)
    done = 0
    try:
        with progress("cascading randomisation", len(modules)) as advance:
            for depth, module in enumerate(modules, 1):
                reinitialise(altered.get_submodule(module), seed + depth - 1)
                if depth == depths[done]:
                    changed = explain(
                        altered, inputs, original.targets[:, 0], methods, names, score, keep_inputs=False
                    )
                    for key, values in _similarities(original, changed, similarity).items():
                        curves[key].append(values)
                    done += 1
                advance(1, module)
    except KeyboardInterrupt:
        if not done:
            raise
    evidence: dict[str, dict[str, Evidence]] = {}
    reached = tuple(depths[:done])
    ticks = tuple(modules[depth - 1] for depth in reached)
    for (method, layer), found in curves.items():
        table = np.stack(found[:done], axis=1)
        evidence.setdefault(method, {})[layer] = Evidence(
            metric="cascading randomisation",
            values=_mean_where_defined(table),
            better="lower",
            notes=("target fixed to that of the untouched model",),
            positions=np.array(reached),
            curves=table,
            axis="modules drawn anew",
            ticks=ticks,
            maps_made=len(inputs) * (done + 1),
            seed=seed,
            interrupted=done < len(depths),
        )
    return Cascade(evidence, similarity, reached, ticks, len(modules), done < len(depths))


def _similarities(
    original: SaliencyMaps, changed: SaliencyMaps, similarity: str
) -> dict[tuple[str, str], np.ndarray]:
    return {
        (before.method, before.layer): compare_maps(before.raw[:, 0], after.raw[:, 0], similarity)
        for before, after in zip(original.maps, changed.maps, strict=True)
    }


def _mean_where_defined(curves: np.ndarray) -> np.ndarray:
    """Mean of each row over what is not nan; nan for a row of nothing else."""
    defined = np.isfinite(curves)
    total = np.where(defined, curves, 0.0).sum(axis=1)
    count = defined.sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), math.nan)
