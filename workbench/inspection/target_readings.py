"""``read_targets``: which output belongs to which target, and what would be a hit."""

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from workbench.batches import Batch, map_tensors, tensors
from workbench.problem import Problem
from workbench.weighting import identify_loss

MadeLoss = Callable[[Tensor], Tensor]  # of outputs that are made up, in the structure of the model's

_SURE = 10.0  # output of a bit that is 1, in outputs that are made up
_OF_VALUES = (nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss)
_OF_BITS = {nn.BCEWithLogitsLoss: 0.0, nn.BCELoss: 0.5}  # with the output where both are alike


@dataclasses.dataclass(frozen=True)
class TargetReading:
    """How outputs and targets belong together.

    Attributes
    ----------
    kind : str
        ``"classes"``: indices of classes; ``"bits"``: 0 or 1; ``"values"``; ``""`` if it is not known.
    reason : str
        Why it is not known.
    dim : int
        Dimension of the outputs with a score for each class.
    classes : int
        How many there are.
    ignored : int
        Index of a class that does not count; neither do negative ones.
    threshold : float
        Output above which a bit is 1.
    """

    kind: str
    reason: str = ""
    dim: int = -1
    classes: int = 0
    ignored: int = -1
    threshold: float = 0.0

    def kept(self, targets: Tensor) -> Tensor:
        """Targets that count."""
        return (targets >= 0) & (targets != self.ignored)

    def hits(self, outputs: Any, targets: Tensor) -> Tensor:
        """Whether the likeliest class, or the nearest bit, is the target's: in the shape of the targets."""
        (scores,) = tensors(outputs)
        if self.kind == "bits":
            return (scores.reshape(targets.shape) > self.threshold) == (targets > 0.5)
        return scores.argmax(dim=self.dim).reshape(targets.shape) == targets


@torch.inference_mode(False)
def read_targets(problem: Problem, outputs: Any, batch: Batch) -> TargetReading:
    """Find out how the outputs and targets of a batch belong together, by the loss where that is one's own.

    A loss may shift its targets, leave some out, or read the outputs in another order. So its slope is asked,
    at outputs that know nothing: at each target that counts, the loss has to fall fastest towards it.
    """
    found, given = tensors(outputs), tensors(problem.batch_targets(batch))
    if len(found) != 1 or len(given) != 1 or not isinstance(problem.batch_targets(batch), Tensor):
        return TargetReading("", f"there are {len(found)} tensors of outputs and {len(given)} of targets")
    scores, targets = found[0], given[0]
    if not scores.dim() or not targets.dim():
        return TargetReading("", "outputs or targets are one number for all examples")
    kind, settings = identify_loss(problem.loss)

    def loss(made: Tensor) -> Tensor:
        whole = map_tensors(lambda _: made, outputs)
        return problem.batch_loss(whole, batch, problem.parameters())

    fit = _without_ones(scores) == _without_ones(targets)
    if not targets.is_floating_point() and not targets.is_complex() and targets.dtype != torch.bool:
        reading = _read_classes(loss, scores, targets, int(settings.get("ignore_index", -1)))
        if reading.kind or kind is not None or not fit or not are_zero_or_one(targets):
            return reading
        bits = _read_bits(loss, targets.reshape(scores.shape).to(scores.dtype))
        return reading if bits is None else bits
    if not fit:
        return TargetReading("", f"outputs {tuple(scores.shape)}, but targets {tuple(targets.shape)}")
    if kind is not None and kind not in (*_OF_BITS, *_OF_VALUES):
        return TargetReading("", f"with {kind.__name__} and such targets there is no accuracy and no R²")
    exact = targets.reshape(scores.shape).to(scores.dtype)
    are_bits = are_zero_or_one(exact)
    if kind in _OF_BITS:
        if are_bits:
            return TargetReading("bits", classes=2, threshold=_OF_BITS[kind])
        return TargetReading("", "the targets are probabilities")
    bits = _read_bits(loss, exact) if kind is None and are_bits else None
    if bits is not None:
        return bits
    if not _value(loss, exact) <= _value(loss, scores):
        return TargetReading("", "the loss is not least where the outputs are the targets")
    return TargetReading("values")


def are_zero_or_one(targets: Tensor) -> bool:
    """Whether there is nothing else among them."""
    return bool(((targets == 0) | (targets == 1)).all())


def _without_ones(tensor: Tensor) -> list[int]:
    """Shape without dimensions of one entry, which a loss may drop."""
    return [size for size in tensor.shape if size != 1]


def _read_classes(loss: MadeLoss, scores: Tensor, targets: Tensor, ignored: int) -> TargetReading:
    for dim in _class_dimensions(scores, targets):
        reading = TargetReading("classes", dim=dim, classes=scores.shape[dim], ignored=ignored)
        kept = reading.kept(targets)
        if reading.classes < 2 or not kept.any() or int(targets[kept].max()) >= reading.classes:
            continue
        # All classes alike, as scores, or as probabilities.
        slopes = _slopes(loss, torch.full_like(scores, 1 / reading.classes))
        if slopes is None:
            continue
        counts = (slopes != 0).any(dim=dim).reshape(targets.shape)
        if not (reading.hits(-slopes, targets) & counts)[kept & counts].all() or not (kept & counts).any():
            continue
        missed = targets[kept & ~counts]
        if len(missed):
            return TargetReading(
                "", f"the loss leaves out {len(missed)} targets of a batch, such as {int(missed[0])}"
            )
        return reading
    return TargetReading(
        "", "the loss does not read these outputs as scores of these classes, place by place"
    )


def _read_bits(loss: MadeLoss, exact: Tensor) -> TargetReading | None:
    """Bits, or why they have no accuracy, if the loss is better beyond targets of 0 and 1; else nothing."""
    signs = 2 * exact - 1
    if not _value(loss, _SURE * signs) < _value(loss, exact):
        return None
    slopes = _slopes(loss, torch.zeros_like(exact))
    if slopes is None or not (slopes * signs < 0).all():
        return TargetReading("", "the loss does not read these outputs as these bits, place by place")
    return TargetReading("bits", classes=2)


def _class_dimensions(scores: Tensor, targets: Tensor) -> list[int]:
    """Dimensions of the outputs that may hold the classes, as torch's losses have them first."""
    found = []
    if scores.dim() == targets.dim() + 1:
        if scores.dim() > 1 and scores.shape[:1] + scores.shape[2:] == targets.shape:
            found.append(1)
        if scores.shape[:-1] == targets.shape:
            found.append(-1)
    elif scores.dim() == 2 and len(scores) == targets.numel():
        found.append(-1)
    return found


def _value(loss: MadeLoss, outputs: Tensor) -> float:
    """Loss of outputs that are made up; nan if the loss does not take them."""
    with torch.no_grad():
        try:
            return float(loss(outputs))
        except Exception:  # a loss of one's own may raise anything for outputs that no model made
            return float("nan")


def _slopes(loss: MadeLoss, outputs: Tensor) -> Tensor | None:
    """Gradient of the loss with respect to outputs that are made up; None if there is none."""
    with torch.enable_grad():
        try:
            leaf = outputs.requires_grad_()
            (slopes,) = torch.autograd.grad(loss(leaf.clone()), leaf)
        except Exception:  # the same
            return None
    return slopes if bool(slopes.isfinite().all()) else None
