"""Scores of many perturbed versions of each input, made and evaluated a few at a time."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from workbench.choices import check_choice
from workbench.progress import progress
from workbench.saliency.evidence.budget import rows_at_once
from workbench.saliency.scores import SCORES as SMOOTH_SCORES
from workbench.saliency.scores import target_scores

SCORES = (*SMOOTH_SCORES, "accuracy")


def perturbed_scores(
    model: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    versions: int,
    perturb: Callable[[Tensor, Tensor], Tensor],
    *,
    score: str,
    needed: Tensor | None = None,
    memory: int | str | None = None,
    title: str = "perturbed inputs",
) -> Tensor:
    """Score of every version of every input; samples and versions share the batches.

    Parameters
    ----------
    model : nn.Module
        Returns logits (N, classes).
    inputs : Tensor (N, C, H, W)
        What is perturbed.
    targets : Tensor (N,)
        The class that is scored.
    versions : int
        Versions of each input.
    perturb : callable
        ``perturb(samples, versions)`` makes a batch from two index tensors (rows,): which input, which
        version. It is called with the versions of the first input first, each pair once, in order.
    score : {"logit", "probability", "loss", "accuracy"}
        As in :func:`~workbench.saliency.scores.target_scores`, or 1 where the target is predicted, else 0.
    needed : Tensor (N, versions) of bool, optional
        Which to evaluate, at least one of each input; the others are nan. By default all.
    memory : int or str, optional
        Bound on a batch, see :func:`~.budget.rows_at_once`.
    title : str
        Of the progress bar.

    Returns
    -------
    Tensor (done, versions)
        In float64, on the CPU; after an interrupt fewer samples than N, all their versions.

    Raises
    ------
    ValueError
        If the score is unknown.
    KeyboardInterrupt
        If not even one sample was done.
    """
    check_choice("score", score, SCORES)
    rows = rows_at_once(model, inputs, memory)
    if needed is None:
        needed = torch.ones(len(inputs), versions, dtype=torch.bool, device=inputs.device)
    pairs = needed.flatten().nonzero()[:, 0]
    scores = torch.full((needed.numel(),), torch.nan, dtype=torch.float64)
    done = 0
    try:
        with torch.no_grad(), progress(title, len(pairs)) as advance:
            for part in pairs.split(rows):
                samples = part // versions
                outputs = model(perturb(samples, part % versions))
                scores[part.cpu()] = class_scores(outputs, targets[samples], score).cpu()
                done += len(part)
                advance(len(part))
    except KeyboardInterrupt:
        if done < len(pairs) and pairs[done] < versions:
            raise
    whole = len(inputs) if done == len(pairs) else int(pairs[done]) // versions
    return scores.reshape(len(inputs), versions)[:whole]


def class_scores(outputs: Tensor, targets: Tensor, score: str) -> Tensor:
    """Score (rows,) of one class (rows,) of each row of logits (rows, classes), in float64."""
    if score == "accuracy":
        return (outputs.argmax(1) == targets).double()
    return target_scores(outputs, targets[:, None], score)[:, 0].double()
