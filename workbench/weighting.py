"""How much a batch counts: by the denominator of its mean, not by its length.

With unequal batches, ``sum_b w_b loss_b / sum_b w_b`` is the loss over all the data only when ``w_b`` is what
batch b's own mean was divided by: kept tokens, class weights, elements, or examples.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from workbench.batches import Batch, count_examples

Loss = Callable[[Any, Any], Tensor]

_BY_CLASS = (nn.CrossEntropyLoss, nn.NLLLoss)
_BY_ELEMENT = (
    nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss, nn.BCELoss, nn.BCEWithLogitsLoss,
    nn.PoissonNLLLoss, nn.SoftMarginLoss, nn.HingeEmbeddingLoss, nn.KLDivLoss,
)  # fmt: skip
_FUNCTIONS = {
    F.cross_entropy: nn.CrossEntropyLoss,
    F.nll_loss: nn.NLLLoss,
    F.mse_loss: nn.MSELoss,
    F.l1_loss: nn.L1Loss,
    F.smooth_l1_loss: nn.SmoothL1Loss,
    F.huber_loss: nn.HuberLoss,
    F.binary_cross_entropy: nn.BCELoss,
    F.binary_cross_entropy_with_logits: nn.BCEWithLogitsLoss,
    F.poisson_nll_loss: nn.PoissonNLLLoss,
    F.soft_margin_loss: nn.SoftMarginLoss,
    F.hinge_embedding_loss: nn.HingeEmbeddingLoss,
    F.kl_div: nn.KLDivLoss,
}


@dataclass(frozen=True)
class Weighting:
    """How the losses of batches add up to the loss over the data.

    Attributes
    ----------
    rule : str
        In words, for messages.
    weigh : callable
        ``weigh(batch, targets) -> float``: how much that batch counts.
    sums : bool
        The losses of batches are added as they are, rather than averaged.
    decomposes : bool
        The loss of a batch is the weighted mean (or the sum) of the losses of its parts, which is probed.
    given : bool
        The user said so, rather than it being inferred.
    """

    rule: str
    weigh: Callable[[Batch, Any], float]
    sums: bool = False
    decomposes: bool = True
    given: bool = False


def find_weighting(loss: Loss, weight: Any) -> Weighting:
    """Read ``weight=``, or infer it from one of torch's losses; else a batch counts by its examples.

    Raises
    ------
    ValueError
        If the loss has ``reduction="none"``, or ``weight`` is an unknown word.
    TypeError
        If ``weight`` is neither a word nor callable.
    """
    if callable(weight):
        return Weighting("weight=", lambda batch, targets: float(weight(batch)), given=True)
    if weight == "batch":
        return Weighting("every batch alike", lambda batch, targets: 1.0, decomposes=False, given=True)
    if weight == "sum":
        return dataclasses.replace(_sum(), given=True)
    if isinstance(weight, str):
        raise ValueError(f"weight={weight!r} is unknown: use 'batch', 'sum' or a function of a batch")
    if weight is not None:
        raise TypeError(f"weight is a {type(weight).__name__}: use 'batch', 'sum' or a function of a batch")
    return _infer(loss)


def _infer(loss: Loss) -> Weighting:
    kind, settings = identify_loss(loss)
    reduction = settings.get("reduction")
    if reduction == "none":
        raise ValueError("the loss has reduction='none' and returns no scalar: use 'mean' or 'sum'")
    if reduction == "sum":
        return _sum()
    if kind in _BY_CLASS:
        return _by_class(settings.get("weight"), settings.get("ignore_index", -100))
    if kind in _BY_ELEMENT and reduction == "mean":
        return Weighting("the number of elements", lambda batch, targets: float(targets.numel()))
    return Weighting("the number of examples", lambda batch, targets: float(_examples(batch, targets)))


def identify_loss(loss: Loss) -> tuple[type | None, dict[str, Any]]:
    """Return the class of a torch loss and its settings, from a module, a function or a partial of one.

    None for any other loss.
    """
    if isinstance(loss, nn.Module):
        kind = next((k for k in type(loss).__mro__ if k.__module__ == "torch.nn.modules.loss"), None)
        if kind is None or type(loss).forward is not vars(kind)["forward"]:
            return None, {}
        names = ("reduction", "weight", "ignore_index", "label_smoothing")
        return kind, {name: getattr(loss, name) for name in names if hasattr(loss, name)}
    function, args, keywords = loss, (), {}
    if isinstance(loss, functools.partial):
        function, args, keywords = loss.func, loss.args, loss.keywords
    if args or not isinstance(function, Hashable) or function not in _FUNCTIONS:
        return None, {}
    call = inspect.signature(function).bind_partial(**keywords)
    call.apply_defaults()
    return _FUNCTIONS[function], dict(call.arguments)


def _sum() -> Weighting:
    return Weighting("the sum over batches", lambda batch, targets: 1.0, sums=True)


def _by_class(class_weights: Tensor | None, ignore_index: int) -> Weighting:
    def weigh(batch: Batch, targets: Tensor) -> float:
        if targets.is_floating_point():  # class probabilities (N, C, ...): the mean is over N and the rest
            return targets.numel() / targets.shape[1] if targets.dim() > 1 else 1.0
        kept = targets[targets != ignore_index]
        return float(
            kept.numel() if class_weights is None else class_weights.to(kept.device)[kept.long()].sum()
        )

    return Weighting("kept targets" if class_weights is None else "class weights of kept targets", weigh)


def _examples(batch: Batch, targets: Any) -> int:
    return count_examples(targets if isinstance(targets, Tensor) else batch)
