"""``label_randomisation``: do maps of a network that learned permuted labels look the same?"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from workbench.choices import check_choice
from workbench.random_vectors import generator
from workbench.saliency.evidence.budget import rows_at_once
from workbench.saliency.evidence.evidence_result import Evidence
from workbench.saliency.evidence.questions import fixed_targets, make_maps
from workbench.saliency.evidence.similarities import SIMILARITIES, compare_maps
from workbench.saliency.explainers import MapFunction


def label_randomisation(
    model: nn.Module,
    inputs: Tensor,
    targets: Any,
    map_function: MapFunction,
    train: Callable[[Tensor], nn.Module],
    labels: Tensor,
    *,
    similarity: str = "spearman",
    memory: int | str | None = None,
    seed: int = 0,
) -> Evidence:
    """Similarity of the maps to those of a model that was trained on permuted labels; lower is better.

    A map that stays similar shows the inputs, not what was learned about them. The target is that of the
    model at both.

    Parameters
    ----------
    model : nn.Module
        Trained on the labels; returns logits (N, classes).
    inputs : Tensor (N, C, H, W)
        Inputs of the model.
    targets : Tensor (N,), int or None
        The class that is explained; None for the one that the model predicts.
    map_function : MapFunction
        Called once on each input for each of the two models.
    train : callable
        ``train(labels)`` returns a new network of the same architecture, trained on the training inputs with
        these labels until it has learned them by heart.
    labels : Tensor (M,)
        The true labels of the training inputs.
    similarity : str
        See :func:`~.similarities.compare_maps`.
    memory : int or str, optional
        Bound on a batch, see :func:`~.budget.rows_at_once`.
    seed : int
        Of the permutation and of the bootstrap.

    Returns
    -------
    Evidence

    Raises
    ------
    ValueError
        If a shape does not fit, the similarity is unknown, or ``train`` returns the model itself.

    Notes
    -----
    Cost: one training and two maps of each input.
    Source: Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018.
    """
    check_choice("similarity", similarity, tuple(SIMILARITIES))
    classes = fixed_targets(model, inputs, targets)
    rows = rows_at_once(model, inputs, memory, backward=True)
    originals = make_maps(map_function, model, inputs, classes, rows)
    permuted = labels[torch.randperm(len(labels), generator=generator(seed)).to(labels.device)]
    other = train(permuted)
    if other is model:
        raise ValueError("train returned the model itself: it must build and train a new one")
    fixed_targets(other, inputs, classes)  # refuses what gives no maps
    maps = make_maps(map_function, other, inputs, classes, rows)
    kept = float((permuted == labels).double().mean())
    return Evidence(
        metric="label randomisation",
        values=compare_maps(originals, maps, similarity),
        better="lower",
        notes=(
            f"{similarity} with the maps after training on permuted labels ({kept:.0%} stayed); target fixed",
        ),
        maps_made=2 * len(inputs),
        seed=seed,
    )
