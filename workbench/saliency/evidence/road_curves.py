"""``road``: how the score falls as pixels are removed and imputed in the order of a map."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from workbench.choices import check_choice
from workbench.random_vectors import generator
from workbench.saliency.evidence.evidence_result import Evidence
from workbench.saliency.evidence.imputation import linear_imputation
from workbench.saliency.evidence.perturbed_scores import perturbed_scores
from workbench.saliency.evidence.pixel_curves import pixel_ranks
from workbench.saliency.evidence.questions import check_maps, fixed_targets, ordered_curves

ORDERS = ("most", "least")
_PERCENTAGES = (10, 20, 30, 40, 50, 70, 90)


def road(
    model: nn.Module,
    inputs: Tensor,
    targets: Any,
    maps: Tensor,
    *,
    percentages: Sequence[float] = _PERCENTAGES,
    order: str = "most",
    noise: float = 0.01,
    score: str = "accuracy",
    memory: int | str | None = None,
    seed: int = 0,
) -> Evidence:
    """Remove and debias: the mean score over the percentages of pixels that are removed and imputed.

    A pixel is replaced by the weighted mean of its neighbours and a little noise, so that the shape of what
    was removed tells the model little. With the most relevant pixels removed first, a low mean speaks for the
    map, with the least relevant first a high one.

    Parameters
    ----------
    model : nn.Module
        Returns logits (N, classes).
    inputs : Tensor (N, C, H, W)
        Inputs of the model.
    targets : Tensor (N,), int or None
        The class that is scored; None for the predicted one.
    maps : Tensor (N, H, W)
        Pixels of equal value go in reading order. A constant map has no order: undefined.
    percentages : sequence of float
        How many of the pixels, between 0 and 100; rounded down to whole pixels.
    order : {"most", "least"}
        Which pixels go first.
    noise : float
        Standard deviation, in units of the inputs; the same draw at all percentages.
    score : {"accuracy", "probability", "logit", "loss"}
        Whether the target is predicted, as in the paper, or what it gets.
    memory : int or str, optional
        Bound on a batch, see :func:`~.budget.rows_at_once`.
    seed : int
        Of the noise and of the bootstrap.

    Returns
    -------
    Evidence
        With a curve for each sample; after an interrupt, for the samples that were done.

    Raises
    ------
    ValueError
        If a shape does not fit, or a word, a percentage or the noise is not allowed.

    Notes
    -----
    Cost: a forward pass over the inputs for each percentage, and as many imputations.
    Source: Rong et al., "A consistent and efficient evaluation strategy for attribution methods", ICML 2022;
    the mean over the percentages as one figure is chosen here.
    """
    classes = fixed_targets(model, inputs, targets)
    check_maps(maps, inputs)
    check_choice("order", order, ORDERS)
    if not noise >= 0:
        raise ValueError(f"noise={noise!r} is not allowed: it must be 0 or more")
    wrong = [each for each in percentages if not 0 < each < 100]
    if wrong or not len(percentages):
        raise ValueError(f"percentages={list(percentages)} are not allowed: each must lie between 0 and 100")
    counts = torch.tensor([int(maps[0].numel() * each / 100) for each in percentages], device=inputs.device)
    ranks = pixel_ranks(maps if order == "most" else -maps)
    drawn = noise * torch.empty(inputs.shape, dtype=torch.float64).normal_(generator=generator(seed))

    def perturb(samples: Tensor, versions: Tensor) -> Tensor:
        removed = ranks[samples] < counts[versions, None, None]
        return linear_imputation(inputs[samples], removed, drawn[samples.cpu()].to(inputs.device))

    scores = perturbed_scores(
        model, inputs, classes, len(counts), perturb, score=score, memory=memory, title="ROAD"
    )
    curves = ordered_curves(scores, maps)
    return Evidence(
        metric="ROAD" if order == "most" else "ROAD, least relevant first",
        values=curves.mean(1),
        better="lower" if order == "most" else "higher",
        notes=(f"mean {score} over {len(counts)} percentages, noise {noise:g}",),
        positions=np.asarray(percentages, dtype=float),
        curves=curves,
        axis=f"% of the pixels removed, {order} relevant first",
        inputs_evaluated=curves.size,
        seed=seed,
        interrupted=len(curves) < len(inputs),
    )
