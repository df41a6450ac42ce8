"""``insertion`` and ``deletion``: how the score moves as pixels appear or go in the order of a map."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from workbench.choices import check_count
from workbench.saliency.baselines import baseline_inputs
from workbench.saliency.evidence.evidence_result import Evidence
from workbench.saliency.evidence.perturbed_scores import perturbed_scores
from workbench.saliency.evidence.questions import check_maps, fixed_targets, ordered_curves


def deletion(
    model: nn.Module,
    inputs: Tensor,
    targets: Any,
    maps: Tensor,
    *,
    steps: int = 224,
    baseline: str | Tensor = "zero",
    score: str = "probability",
    memory: int | str | None = None,
    seed: int = 0,
) -> Evidence:
    """Area under the score while the pixels with the largest values of the map are replaced first.

    A low area speaks for the map. At each of the steps an equal share of the pixels, all channels of them,
    has been replaced by the baseline; the area is the trapezoidal rule over that share, from 0 to 1.

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
    steps : int
        Steps from the whole input to the baseline, at most one for each pixel.
    baseline : {"zero", "mean", "blur"} or Tensor
        What pixels are replaced by, see :func:`~workbench.saliency.baselines.baseline_inputs`.
    score : {"probability", "logit", "loss", "accuracy"}
        Softmax probability, logit or log-probability of the class, or whether it is the predicted one.
    memory : int or str, optional
        Bound on a batch, see :func:`~.budget.rows_at_once`.
    seed : int
        Of the bootstrap.

    Returns
    -------
    Evidence
        With a curve for each sample; after an interrupt, for the samples that were done.

    Raises
    ------
    ValueError
        If a shape does not fit, or a word, a number of steps or a target is not allowed.

    Notes
    -----
    Cost: (steps + 1) forward passes over the inputs, less the steps at which no pixel changes its value, as
    in an empty background.
    Source: Petsiuk, Das, Saenko, "RISE", BMVC 2018 (there: zeros to delete, a blur to insert).
    """
    return _curve("deletion", model, inputs, targets, maps, steps, baseline, score, memory, seed)


def insertion(
    model: nn.Module,
    inputs: Tensor,
    targets: Any,
    maps: Tensor,
    *,
    steps: int = 224,
    baseline: str | Tensor = "blur",
    score: str = "probability",
    memory: int | str | None = None,
    seed: int = 0,
) -> Evidence:
    """Area under the score while the pixels with the largest values of the map appear first.

    They appear on the baseline; a high area speaks for the map. All else is as for :func:`deletion`.
    """
    return _curve("insertion", model, inputs, targets, maps, steps, baseline, score, memory, seed)


def _curve(
    metric: str,
    model: nn.Module,
    inputs: Tensor,
    targets: Any,
    maps: Tensor,
    steps: int,
    baseline: str | Tensor,
    score: str,
    memory: int | str | None,
    seed: int,
) -> Evidence:
    classes = fixed_targets(model, inputs, targets)
    check_maps(maps, inputs)
    check_count("steps", steps)
    pixels = maps[0].numel()
    shares = torch.linspace(0, 1, min(steps, pixels) + 1, dtype=torch.float64, device=inputs.device)
    counts = (shares * pixels).round().long()
    ranks = pixel_ranks(maps)[:, None]
    empty = baseline_inputs(inputs, baseline)
    before, after = (inputs, empty) if metric == "deletion" else (empty, inputs)

    def perturb(samples: Tensor, versions: Tensor) -> Tensor:
        chosen = ranks[samples] < counts[versions, None, None, None]
        return torch.where(chosen, after[samples], before[samples])

    needed = _changing_steps(ranks.flatten(1), counts, (before != after).any(1).flatten(1))
    scores = perturbed_scores(
        model, inputs, classes, len(counts), perturb, score=score, needed=needed, memory=memory, title=metric
    )
    needed = needed[: len(scores)].cpu()
    steps_so_far = torch.where(needed, torch.arange(len(counts)), 0)
    curves = ordered_curves(scores.gather(1, steps_so_far.cummax(dim=1).values), maps)
    positions = counts.cpu().numpy() / pixels
    name = baseline if isinstance(baseline, str) else "given"
    return Evidence(
        metric=metric,
        values=np.trapezoid(curves, positions, axis=1),
        better="lower" if metric == "deletion" else "higher",
        notes=(f"area under the {score}, {len(counts) - 1} steps, baseline: {name}",),
        positions=positions,
        curves=curves,
        axis="share of the pixels " + ("deleted" if metric == "deletion" else "inserted"),
        inputs_evaluated=int(needed.sum()),
        seed=seed,
        interrupted=len(curves) < len(inputs),
    )


def _changing_steps(ranks: Tensor, counts: Tensor, changes: Tensor) -> Tensor:
    """At which steps (N, s) an input is another than before; the first always is.

    ``ranks`` (N, pixels) are the places of the pixels, of which ``counts`` (s,) have been replaced at each
    step; ``changes`` (N, pixels) are those whose value that changes.
    """
    turns = torch.searchsorted(counts, ranks, right=True)
    found = torch.zeros(len(ranks), len(counts), dtype=torch.uint8, device=ranks.device)
    found.scatter_reduce_(1, turns, changes.byte(), "amax")
    found[:, 0] = 1
    return found.bool()


def pixel_ranks(maps: Tensor) -> Tensor:
    """Place of each pixel in its map (N, H, W), 0 for the largest; equal ones in reading order."""
    order = maps.flatten(1).argsort(dim=1, descending=True, stable=True)
    places = torch.arange(order.shape[1], device=maps.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places).reshape(maps.shape)
