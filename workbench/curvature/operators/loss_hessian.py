"""The Hessian of a loss with respect to the outputs, in closed form where it is known."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from workbench.curvature.operators.autograd import Product, Tensors, hessian_product
from workbench.kernels.dispatch import takes_triton
from workbench.kernels.softmax_rows import softmax_product
from workbench.weighting import Loss, identify_loss


def loss_hessian(loss: Loss, value: Tensor, outputs: Tensors, targets: Any) -> Product:
    r"""Return what multiplies with the Hessian of a batch's loss with respect to the outputs.

    For the softmax cross entropy of logits z with class indices it is, per example,
    :math:`u \mapsto a\,(p \circ u - p\,\langle p, u\rangle)` with :math:`p = \mathrm{softmax}(z)`, and a the
    example's share of the mean; for the mean squared error a constant; for all else double backward.

    Parameters
    ----------
    loss : callable
        The problem's.
    value : Tensor ()
        The batch's loss, with its graph back to ``outputs``.
    outputs : list of Tensor
        What it was computed from, cut from the model.
    targets : any
        The loss' second argument.
    """
    kind, settings = identify_loss(loss)
    if len(outputs) == 1 and isinstance(targets, Tensor):
        if kind is nn.CrossEntropyLoss and not targets.is_floating_point():
            return _softmax_hessian(outputs[0].detach(), targets, settings)
        if kind is nn.MSELoss and targets.shape == outputs[0].shape:
            scale = 2 / targets.numel() if settings["reduction"] == "mean" else 2.0
            return partial(_scaled, scale)
    return hessian_product(value, outputs)


def example_shares(targets: Tensor, settings: dict[str, Any], dtype: torch.dtype) -> Tensor:
    """How much the softmax' Hessian at each target counts in a batch's cross entropy, shaped like them.

    Parameters
    ----------
    targets : Tensor of int
        Class indices.
    settings : dict
        The loss', of :func:`workbench.weighting.identify_loss`.
    dtype : torch.dtype
        Of the result.
    """
    kept = targets != settings["ignore_index"]
    weights = smooth = kept.to(dtype)
    if settings["weight"] is not None:
        classes = settings["weight"].to(device=targets.device, dtype=dtype)
        weights, smooth = classes[torch.where(kept, targets, 0)] * kept, classes.mean() * kept
    # Smoothing mixes losses of other classes in, all of which have the Hessian of the softmax.
    smoothing = settings["label_smoothing"]
    mixed = (1 - smoothing) * weights + smoothing * smooth
    return mixed / weights.sum() if settings["reduction"] == "mean" else mixed


def _softmax_hessian(logits: Tensor, targets: Tensor, settings: dict[str, Any]) -> Product:
    """By the kernel on a GPU, which makes the probabilities anew each time; else with them kept."""
    if logits.dim() > 1 and logits.numel() and takes_triton(logits):
        shares = example_shares(targets, settings, torch.float32)
        return partial(_product_by_rows, _rows(logits, 1), shares.reshape(-1))
    return partial(_softmax_product, *_softmax_parts(logits, targets, settings))


def _product_by_rows(logits: Tensor, shares: Tensor, vectors: Sequence[Tensor], *, batched: bool) -> Tensors:
    """Multiply with logits in rows of classes, which stand in the first dimension after that of a batch."""
    (vector,) = vectors
    dim = 2 if batched else 1
    rows = _rows(vector, dim)
    stack = rows.view(-1, *logits.shape)
    product = softmax_product(logits, stack, shares).view_as(vector.movedim(dim, -1))
    return [product.movedim(-1, dim)]


def _rows(tensor: Tensor, dim: int) -> Tensor:
    """Lay out (…, classes, …) as (rows, classes)."""
    return tensor.movedim(dim, -1).reshape(-1, tensor.shape[dim])


def _softmax_parts(logits: Tensor, targets: Tensor, settings: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Probabilities like the logits (N, C, …) or (C,), and per example its share of the loss."""
    dim = 1 if logits.dim() > 1 else 0
    probabilities = logits.softmax(dim, dtype=torch.promote_types(logits.dtype, torch.float32))
    return probabilities, example_shares(targets, settings, probabilities.dtype).unsqueeze(dim)


def _softmax_product(
    probabilities: Tensor, weights: Tensor, vectors: Sequence[Tensor], *, batched: bool
) -> Tensors:
    """Multiply, with differences to the likeliest class in place of the vector's entries.

    The softmax' Hessian does not see what all entries have in common. Without that, a probability near 1
    would be taken away from itself, and nothing but rounding be left of a small curvature.
    """
    (vector,) = vectors
    dim = 1 if probabilities.dim() > 1 else 0
    likeliest = probabilities.argmax(dim, keepdim=True)
    if batched:
        likeliest = likeliest.expand(len(vector), *likeliest.shape)
        dim += 1
    differences = vector.to(probabilities.dtype)
    differences = differences - differences.gather(dim, likeliest)
    mean = (probabilities * differences).sum(dim, keepdim=True)
    return [(weights * probabilities * (differences - mean)).to(vector.dtype)]


def _scaled(scale: float, vectors: Sequence[Tensor], *, batched: bool) -> Tensors:
    return [scale * vector for vector in vectors]
