"""Probes of a new problem: is the loss one fixed function of the parameters, and are batches weighted right?

They run on the first and last batch only and leave the random state as it was.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.utils.parametrizations import _SpectralNorm

from workbench import batches as _batches
from workbench.graph import reaches

if TYPE_CHECKING:
    from workbench.batches import Batch
    from workbench.problem import Parameters, Problem

_SPLIT_EXAMPLES = 64
_SPLIT_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3}  # relative to the parts' gradients; else 5e-2


def probe(problem: "Problem") -> None:
    """Refuse a problem whose numbers could not be trusted; see :class:`workbench.Problem`."""
    refuse_training_mode(problem.model)
    _refuse_rescaling(problem.model)
    with torch.inference_mode(False), torch.random.fork_rng(devices=_cuda_devices(problem)):
        first, last = _probe_data(problem)
        probe_loss(problem, first)
        _probe_determinism(problem, first)
        if problem.weighting.decomposes:
            _probe_split(problem, first)
            if last is not first:
                _probe_split(problem, last)


def refuse_training_mode(model: nn.Module) -> None:
    """Refuse a model that is random, or writes its own state, because of the mode that it is in."""
    for name, module in model.named_modules():
        if not module.training:
            continue
        label = f"{name or 'the model'} ({type(module).__name__})"
        if isinstance(module, _DropoutNd) and module.p > 0:
            raise ValueError(
                f"dropout is active in {label}, so its outputs are random: call model.eval() first"
            )
        if isinstance(module, nn.MultiheadAttention | nn.RNNBase) and module.dropout > 0:
            raise ValueError(
                f"dropout is active in {label}, so its outputs are random: call model.eval() first"
            )
        if isinstance(module, _BatchNorm):
            raise ValueError(
                f"{label} is in train mode: it normalises by batch statistics and updates its running ones; "
                "call model.eval() first"
            )
        if isinstance(module, _SpectralNorm):
            raise ValueError(
                f"{label} is in train mode: it iterates on the norm of the weights in each forward pass; "
                "call model.eval() first"
            )


def _refuse_rescaling(model: nn.Module) -> None:
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.max_norm is not None:
            raise ValueError(
                f"{name or 'the model'} ({type(module).__name__}) with max_norm overwrites its weights in "
                "the forward pass: set its max_norm to None for the analysis"
            )


def _probe_data(problem: "Problem") -> tuple["Batch", "Batch"]:
    """First and last batch (the last only where that needs no pass over the data)."""
    data: Any = problem._data
    first = next(iter(data))
    if isinstance(data, list | tuple):
        moved = problem._move(first)
        return moved, problem._move(data[-1]) if len(data) > 1 else moved
    if _batches.checksum(first) != _batches.checksum(next(iter(data))):
        raise ValueError(
            "the first batch changes from pass to pass: the data shuffles or augments at random; use "
            "shuffle=False, or pass a list of fixed batches"
        )
    moved = problem._move(first)
    return moved, moved


def probe_loss(problem: "Problem", batch: "Batch") -> None:
    """Refuse a loss that is not a finite real number, or that no selected parameter has a part in."""
    if not problem.weighting.weigh(batch, problem.batch_targets(batch)) > 0:
        return  # e.g. all targets ignored; such a batch is left out
    leaves = {name: tensor.detach().requires_grad_() for name, tensor in problem.parameters().items()}
    with torch.inference_mode(False), torch.enable_grad():
        _, loss = problem.evaluate(leaves, batch)
    if not isinstance(loss, Tensor) or loss.dim() != 0 or not loss.is_floating_point():
        raise ValueError(f"the loss returns {_describe(loss)}, not one real number: average or sum it")
    if not loss.requires_grad or not reaches(loss, leaves.values()):
        raise ValueError(
            "the loss does not depend on the selected parameters: is there a detach(), no_grad() or integer "
            "operation between them, or does forward= use another model than the one it is given?"
        )
    if not torch.isfinite(loss):
        raise ValueError(f"the loss is {loss.item()} on the first batch, so nothing can be analysed here")


def _probe_determinism(problem: "Problem", batch: "Batch") -> None:
    with torch.no_grad(), _watch(problem.model) as first:
        loss = problem.evaluate(problem.parameters(), batch)[1]
    with torch.no_grad(), _watch(problem.model) as second:
        again = problem.evaluate(problem.parameters(), batch)[1]
    if not _same(loss, again):
        culprit = next(
            (name for (name, a), (_, b) in zip(first, second, strict=False) if not _same(a, b)), None
        )
        where = f"first in {culprit}" if culprit else "in the loss or the forward function"
        raise ValueError(
            f"the loss changes between two evaluations ({loss.item():.7g}, then {again.item():.7g}; "
            f"{where}): call model.eval() and remove what is random"
        )


def _probe_split(problem: "Problem", batch: "Batch") -> None:
    """Hold the gradient of (the head of) a batch against those of its two unequal parts.

    At perturbed parameters: at a minimum, or behind a layer of zeros, all gradients vanish and any weighting
    would pass.
    """
    count = _count_sliceable(batch, problem.batch_targets(batch))
    end = min(count, _SPLIT_EXAMPLES)
    if end < 2:
        return
    cut = max(1, end // 3)
    pieces = [_batches.slice_batch(batch, count, slice(*ends)) for ends in ((0, end), (0, cut), (cut, end))]
    weights = [problem.weighting.weigh(piece, problem.batch_targets(piece)) for piece in pieces]
    if not all(weight > 0 for weight in weights):
        return
    if problem.weighting.sums:
        weights = [1.0, 1.0, 1.0]
    parameters = _perturbed(problem)
    try:
        whole, *halves = (
            weight * problem.batch_gradient(parameters, piece).double()
            for weight, piece in zip(weights, pieces, strict=True)
        )
    except Exception as error:
        if problem.weighting.given:
            return
        raise ValueError(
            f"the loss cannot be computed on a part of a batch, to see whether the number of its examples is "
            f"what it counts by: pass weight= ({type(error).__name__}: {error})"
        ) from error
    scale = sum(float(half.norm()) for half in halves)
    mismatch = float((whole - sum(halves)).norm()) / scale if scale else 0.0
    if not mismatch <= _SPLIT_TOLERANCE.get(problem.coarsest_dtype, 5e-2):  # also when it is nan
        raise ValueError(_explain_mismatch(problem, mismatch) + _note_shapes(problem, batch))


def _count_sliceable(batch: "Batch", targets: Any) -> int:
    """Number of examples along which the batch can be cut; targets may have been flattened to tokens."""
    lengths = {leaf.shape[0] for leaf in _batches.tensors(batch) if leaf.dim()}
    count = _batches.count_examples(targets) if isinstance(targets, Tensor) else 0
    return count if count in lengths else _batches.count_examples(batch)


def _explain_mismatch(problem: "Problem", mismatch: float) -> str:
    how = "added" if problem.weighting.sums else f"weighted by {problem.weighting.rule}"
    return (
        f"the gradient of a batch is off by {mismatch:.1%} from those of its two parts, {how}: pass "
        "weight=lambda batch: <what the batch's loss is divided by>, weight='sum' if it is a sum, or "
        "weight='batch' for a loss that does not decompose over examples (contrastive)"
    )


def _note_shapes(problem: "Problem", batch: "Batch") -> str:
    with torch.no_grad():
        outputs = problem.outputs(problem.parameters(), batch)
    targets = problem.batch_targets(batch)
    if not (isinstance(outputs, Tensor) and isinstance(targets, Tensor) and targets.is_floating_point()):
        return ""
    if outputs.shape == targets.shape:
        return ""
    return (
        f". The outputs have the shape {tuple(outputs.shape)} and the targets {tuple(targets.shape)}: if the "
        "loss spreads one over the other, give them the same shape"
    )


def _perturbed(problem: "Problem") -> "Parameters":
    generator = torch.Generator().manual_seed(0)
    return {
        name: tensor + 0.05 * (tensor.abs().mean() + 0.1) * _noise(tensor, generator)
        for name, tensor in problem.parameters().items()
    }


def _noise(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator, device="cpu").to(like)


@contextmanager
def _watch(model: nn.Module) -> Iterator[list[tuple[str, Tensor]]]:
    """Note the first output tensor of every module in the order of their ends; the hooks leave with it."""
    seen: list[tuple[str, Tensor]] = []

    def note(name: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            leaves = _batches.tensors(output)
            if leaves:
                seen.append((f"{name} ({type(module).__name__})", leaves[0].detach()))

        return hook

    handles = [
        module.register_forward_hook(note(name or "the model")) for name, module in model.named_modules()
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _same(first: Tensor, second: Tensor) -> bool:
    tolerance = 10 * torch.finfo(first.dtype).eps if first.is_floating_point() else 0.0
    return torch.allclose(first, second, rtol=tolerance, atol=0.0, equal_nan=True)


def _describe(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a {str(value.dtype).removeprefix('torch.')} tensor of shape {tuple(value.shape)}"
    return f"a {type(value).__name__}"


def _cuda_devices(problem: "Problem") -> list[torch.device]:
    return [problem.device] if problem.device.type == "cuda" else []
