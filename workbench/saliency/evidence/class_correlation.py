"""``class_sensitivity``: do the maps for the most and the least likely class differ?"""

import numpy as np
import torch
from torch import Tensor, nn

from workbench.choices import check_choice
from workbench.progress import progress
from workbench.saliency.evidence.budget import rows_at_once
from workbench.saliency.evidence.evidence_result import Evidence
from workbench.saliency.evidence.questions import fixed_targets, make_maps
from workbench.saliency.evidence.similarities import SIMILARITIES, compare_maps
from workbench.saliency.explainers import MapFunction


def class_sensitivity(
    model: nn.Module,
    inputs: Tensor,
    map_function: MapFunction,
    *,
    similarity: str = "pearson",
    memory: int | str | None = None,
    seed: int = 0,
) -> Evidence:
    """Mean correlation of the maps for the classes with the largest and the smallest logit; lower is better.

    1 is a map that does not see which class it is asked for. Where one of the two maps is constant the
    correlation is undefined; such samples are counted and left out.

    Parameters
    ----------
    model : nn.Module
        Returns logits (N, classes).
    inputs : Tensor (N, C, H, W)
        Inputs of the model.
    map_function : MapFunction
        Called twice on each input.
    similarity : str
        See :func:`~.similarities.compare_maps`.
    memory : int or str, optional
        Bound on a batch, see :func:`~.budget.rows_at_once`.
    seed : int
        Of the bootstrap.

    Returns
    -------
    Evidence
        After an interrupt, for the samples that were done.

    Raises
    ------
    ValueError
        If a shape does not fit, the similarity is unknown, or there is one class only.

    Notes
    -----
    Cost: one forward pass over the inputs and two maps of each.
    Source: the class selectivity study in the released code of Rebuffi, Fong, Ji, Vedaldi, "There and Back
    Again", CVPR 2020.
    """
    check_choice("similarity", similarity, tuple(SIMILARITIES))
    most = fixed_targets(model, inputs, None)
    rows = rows_at_once(model, inputs, memory, backward=True)
    values: list[float] = []
    try:
        with progress("class sensitivity", len(inputs)) as advance:
            for part, top in zip(inputs.split(rows), most.split(rows), strict=True):
                with torch.no_grad():
                    logits = model(part)
                if logits.shape[1] == 1:
                    raise ValueError("the model has a single logit: there is no other class to compare with")
                bottom = logits.argmin(1)
                first = make_maps(map_function, model, part, top, rows)
                second = make_maps(map_function, model, part, bottom, rows)
                values.extend(compare_maps(first, second, similarity))
                advance(len(part))
    except KeyboardInterrupt:
        if not values:
            raise
    return Evidence(
        metric="class sensitivity",
        values=np.array(values),
        better="lower",
        notes=(f"{similarity} of the maps for the classes of largest and smallest logit; 1 is class-blind",),
        inputs_evaluated=2 * len(values),
        maps_made=2 * len(values),
        seed=seed,
        interrupted=len(values) < len(inputs),
    )
