"""The loss of each example of a batch, and how much each counts."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from workbench.batches import Batch, count_examples, slice_batch
from workbench.problem import Parameters, Problem
from workbench.weighting import identify_loss

# Losses that are, with reduction="none", one number per element whose weighted sum is that of the batch.
_ELEMENTWISE: dict[type, Callable[..., Tensor]] = {
    nn.CrossEntropyLoss: F.cross_entropy,
    nn.MSELoss: F.mse_loss,
    nn.L1Loss: F.l1_loss,
    nn.SmoothL1Loss: F.smooth_l1_loss,
}

_SETTINGS = ("weight", "ignore_index", "label_smoothing")


def example_weights(problem: Problem, batch: Batch) -> Tensor:
    """How much each example (N,) of a batch counts in its mean: w_i, whose sum is the batch's weight."""
    count = count_examples(batch)
    pieces = (slice_batch(batch, count, slice(i, i + 1)) for i in range(count))
    weights = [problem.weighting.weigh(piece, problem.batch_targets(piece)) for piece in pieces]
    return torch.tensor(weights, dtype=torch.float64, device=problem.device)


def weighted_losses(problem: Problem, outputs: Any, batch: Batch, parameters: Parameters) -> Tensor:
    """Return w_i times the loss of each example (N,), with its graph.

    Their sum divided by that of the w_i is the batch's loss, or their sum if the loss is one. At once for the
    common losses of torch, else example by example.
    """
    targets = problem.batch_targets(batch)
    kind, settings = identify_loss(problem.loss)
    if (
        kind is not None
        and kind in _ELEMENTWISE
        and isinstance(outputs, Tensor)
        and isinstance(targets, Tensor)
    ):
        keywords = {name: settings[name] for name in _SETTINGS if name in settings}
        elements = _ELEMENTWISE[kind](outputs, targets, reduction="none", **keywords)
        return elements.reshape(len(elements), -1).sum(dim=1)
    return _one_by_one(problem, outputs, batch, parameters)


def _one_by_one(problem: Problem, outputs: Any, batch: Batch, parameters: Parameters) -> Tensor:
    count = count_examples(batch)
    losses = []
    for i in range(count):
        part = slice(i, i + 1)
        piece = slice_batch(batch, count, part)
        weight = (
            1.0 if problem.weighting.sums else problem.weighting.weigh(piece, problem.batch_targets(piece))
        )
        if weight:
            loss = problem.batch_loss(_take(outputs, count, part), piece, parameters)
            losses.append(weight * loss)
        else:
            losses.append(torch.zeros((), device=problem.device, dtype=problem.dtype))
    return torch.stack(losses)


def _take(outputs: Any, count: int, part: slice) -> Any:
    def take(leaf: Any) -> Any:
        return leaf[part] if isinstance(leaf, Tensor) and leaf.dim() and len(leaf) == count else leaf

    return tree_map(take, outputs)
