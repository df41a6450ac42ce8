"""Do maps change when the weights are drawn anew, from the output down or layer by layer?"""

import copy
import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from workbench.choices import check_choice
from workbench.colors import BLUE, GREEN, ORANGE, SKY, VERMILION
from workbench.progress import progress
from workbench.result import Result, new_axes
from workbench.saliency.evidence.budget import rows_at_once
from workbench.saliency.evidence.evidence_result import Evidence
from workbench.saliency.evidence.questions import fixed_targets, make_maps
from workbench.saliency.evidence.reinitialisation import reinitialise, weighted_layers
from workbench.saliency.evidence.similarities import SIMILARITIES, compare_maps
from workbench.saliency.explainers import MapFunction

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIMILARITIES = ("spearman", "spearman_abs", "ssim")
_COLORS = (BLUE, VERMILION, GREEN, ORANGE, SKY)


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class Randomisation(Result):
    """Similarity of maps to those of the untouched model, layer by layer.

    Attributes
    ----------
    kind : {"cascading", "independent"}
        Whether the layers nearer to the output are random, too, or each layer alone.
    layers : tuple of str
        In the order of the curves: from output to input.
    evidence : dict of str to Evidence
        For each similarity the mean over the layers where it is defined, with a curve over the layers.
    interrupted : bool
        Whether there were more layers.
    """

    kind: str
    layers: tuple[str, ...]
    evidence: dict[str, Evidence]
    interrupted: bool = False

    def frame(self) -> pd.DataFrame:
        """One row per similarity and layer."""
        tables = [
            each.curve_frame()
            .drop(columns="position")
            .rename(columns={"name": "layer"})
            .assign(similarity=name)
            for name, each in self.evidence.items()
        ]
        return pd.concat(tables, ignore_index=True)[["similarity", "layer", "mean", "low", "high", "n"]]

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Mean similarity after each layer, with its interval; 1 is the map of the untouched model."""
        ax = new_axes(ax)
        for (name, each), color in zip(self.evidence.items(), _COLORS, strict=False):
            each.plot_curve(ax, color, name)
        ax.axhline(0, color="0.6", linewidth=0.8)
        ax.axhline(1, color="0.6", linewidth=0.8)
        ax.set_ylabel("similarity to the original map")
        ax.set_title(self.summary().splitlines()[0], fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """Mean over the layers for each similarity, and what was fixed."""
        head = f"{self.kind} randomisation of {len(self.layers)} layers" + (
            ", INTERRUPTED before the rest" if self.interrupted else ""
        )
        lines = [f"{name}: {each.summary().splitlines()[0]}" for name, each in self.evidence.items()]
        first = next(iter(self.evidence.values()))
        return "\n".join([head, *lines, *first.notes, first.summary().splitlines()[-1]])


def cascading_randomisation(
    model: nn.Module,
    inputs: Tensor,
    targets: Any,
    map_function: MapFunction,
    *,
    similarities: Sequence[str] = _SIMILARITIES,
    memory: int | str | None = None,
    seed: int = 0,
) -> Randomisation:
    """Similarity of the maps to the original ones as layers become random, from the output to the input.

    A map that stays similar does not depend on what the network has learned. The target is that of the
    untouched model at every stage, so that a change of the map is not one of the question. The model is
    copied, never touched.

    Parameters
    ----------
    model : nn.Module
        Returns logits (N, classes). Its layers are reset as :func:`~.reinitialisation.reinitialise` says.
    inputs : Tensor (N, C, H, W)
        Inputs of the model.
    targets : Tensor (N,), int or None
        The class that is explained; None for the predicted one.
    map_function : MapFunction
        Called once for each layer on each input, and once before.
    similarities : sequence of str
        See :func:`~.similarities.compare_maps`.
    memory : int or str, optional
        Bound on a batch, see :func:`~.budget.rows_at_once`.
    seed : int
        Of the weights and of the bootstrap. A layer gets the same weights in both kinds of randomisation.

    Returns
    -------
    Randomisation
        A similarity is undefined where a map is constant. After an interrupt, for the layers that were done.

    Raises
    ------
    ValueError
        If a shape does not fit, a similarity is unknown, or the model has no weights.

    Notes
    -----
    Cost: (layers + 1) maps of each input, and one copy of the model.
    Source: Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018.
    """
    return _randomise("cascading", model, inputs, targets, map_function, similarities, memory, seed)


def independent_randomisation(
    model: nn.Module,
    inputs: Tensor,
    targets: Any,
    map_function: MapFunction,
    *,
    similarities: Sequence[str] = _SIMILARITIES,
    memory: int | str | None = None,
    seed: int = 0,
) -> Randomisation:
    """Similarity of the maps to the original ones with one layer random at a time.

    All else is as for :func:`cascading_randomisation`; it costs one copy of the model for each layer.
    """
    return _randomise("independent", model, inputs, targets, map_function, similarities, memory, seed)


@torch.inference_mode(False)  # copies made in it could take part in no gradient
def _randomise(
    kind: str,
    model: nn.Module,
    inputs: Tensor,
    targets: Any,
    map_function: MapFunction,
    similarities: Sequence[str],
    memory: int | str | None,
    seed: int,
) -> Randomisation:
    for name in similarities:
        check_choice("similarity", name, tuple(SIMILARITIES))
    classes = fixed_targets(model, inputs, targets)
    layers = weighted_layers(model, inputs)[::-1]
    if not layers:
        raise ValueError("the model has no weights to draw anew")
    rows = rows_at_once(model, inputs, memory, backward=True)
    originals = make_maps(map_function, model, inputs, classes, rows)
    found: dict[str, list[np.ndarray]] = {name: [] for name in similarities}
    done = 0
    altered = copy.deepcopy(model)
    try:
        with progress(f"{kind} randomisation", len(layers)) as advance:
            for place, layer in enumerate(layers):
                if kind == "independent":
                    altered = copy.deepcopy(model)
                reinitialise(altered.get_submodule(layer), seed + place)
                maps = make_maps(map_function, altered, inputs, classes, rows)
                for name in similarities:
                    found[name].append(compare_maps(originals, maps, name))
                done += 1
                advance(1, layer)
    except KeyboardInterrupt:
        if not done:
            raise
    names = tuple(layer or "(the model itself)" for layer in layers[:done])
    evidence = {
        name: Evidence(
            metric=f"{kind} randomisation",
            values=_mean_where_defined(np.stack(stages[:done], axis=1)),
            better="lower",
            notes=("target fixed to that of the untouched model",),
            positions=np.arange(1, done + 1),
            curves=np.stack(stages[:done], axis=1),
            axis="random from here to the output" if kind == "cascading" else "layer that is random",
            ticks=names,
            maps_made=len(inputs) * (done + 1),
            seed=seed,
            interrupted=done < len(layers),
        )
        for name, stages in found.items()
    }
    return Randomisation(kind, names, evidence, done < len(layers))


def _mean_where_defined(curves: np.ndarray) -> np.ndarray:
    """Mean of each row over what is not nan; nan for a row of nothing else."""
    defined = np.isfinite(curves)
    count = defined.sum(axis=1)
    total = np.where(defined, curves, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), math.nan)
