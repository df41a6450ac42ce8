r"""The curvature of a softmax along a vector, row by row: product, moments and spread from one read.

With p = softmax(z) and the mean :math:`m = \langle p, v \rangle`,

.. math:: H v = p \circ (v - m), \quad v^\top H v = \sum_k p_k (v_k - m)^2, \quad
          \kappa_3 = \sum_k p_k (v_k - m)^3,

with m the first three derivatives of :math:`\log \sum_k e^{z_k + t v_k}` at t = 0; and the largest and
smallest v of the classes that have weight. Entries are taken relative to that of the likeliest class: the
softmax does not see what all have in common, and a probability near 1 would be taken away from itself.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from workbench.kernels.dispatch import takes_triton
from workbench.kernels.jit import blocks, kernel, tl

_TILE = 2048  # entries that a program holds at a time, where a row is shorter
_LONGEST = 8192  # of a row that is held whole; longer ones are read twice
_STRIP = 2048  # entries of such a row that are held at a time


class SoftmaxRow(NamedTuple):
    """What each row of a softmax has along a vector.

    Attributes
    ----------
    mean, variance, third : Tensor (rows,)
        First derivative of the logarithm of the partition function, second and third, in float32 at least.
        The last two are central moments, and the variance is the Hessian with the vector on both sides.
    low, high : Tensor (rows,)
        Smallest and largest entry among the classes with a logit above -inf, exactly.
    """

    mean: Tensor
    variance: Tensor
    third: Tensor
    low: Tensor
    high: Tensor


def softmax_product(logits: Tensor, vectors: Tensor, weights: Tensor | None = None) -> Tensor:
    """Multiply vectors (…, rows, classes) with the Hessian of the softmax at logits (rows, classes).

    Parameters
    ----------
    logits : Tensor (rows, classes)
        A class at -inf has no weight, whatever the vector's entry.
    vectors : Tensor (…, rows, classes)
        Several for each row, if there are leading dimensions.
    weights : Tensor (rows,), optional
        Factors of the rows.

    Returns
    -------
    Tensor (…, rows, classes)
        In the dtype of the vectors, computed in float32 at least. No gradient is recorded.

    Raises
    ------
    ValueError
        If shapes do not fit.
    """
    _check(logits, vectors)
    if weights is not None and weights.shape != logits.shape[:1]:
        raise ValueError(f"weights have shape {tuple(weights.shape)}: they must be ({len(logits)},)")
    if not vectors.numel():
        return torch.empty_like(vectors)
    if takes_triton(logits, vectors, weights):
        flat = vectors.detach().reshape(-1, logits.shape[1])
        return _launch(logits.detach(), flat, weights, product=True)[0].view(vectors.shape)
    return product_by_pytorch(logits, vectors, weights)


def softmax_row(logits: Tensor, vectors: Tensor) -> SoftmaxRow:
    """Return moments and range of vectors (rows, classes) under the softmax of logits (rows, classes).

    No gradient is recorded. Classes at -inf do not count, and every row has another.

    Raises
    ------
    ValueError
        If shapes do not fit.
    """
    _check(logits, vectors)
    if logits.shape != vectors.shape or not vectors.numel():
        raise ValueError(
            f"logits and vectors have shapes {tuple(logits.shape)} and {tuple(vectors.shape)}: both must be "
            "(rows, classes), and hold something"
        )
    if takes_triton(logits, vectors):
        moments = _launch(logits.detach(), vectors.detach(), None, product=False)[1]
        return SoftmaxRow(*moments.unbind(1))
    return row_by_pytorch(logits, vectors)


@torch.no_grad()
def product_by_pytorch(logits: Tensor, vectors: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the product by PyTorch's operations: what the kernels are held against."""
    p, differences, _ = _relative(logits, vectors)
    product = p * (differences - (p * differences).sum(-1, keepdim=True))
    return (product if weights is None else weights[:, None] * product).to(vectors.dtype)


@torch.no_grad()
def row_by_pytorch(logits: Tensor, vectors: Tensor) -> SoftmaxRow:
    """Return moments and range by PyTorch's operations."""
    p, differences, reference = _relative(logits, vectors)
    mean = (p * differences).sum(-1, keepdim=True)
    centred = differences - mean
    masked = logits == -torch.inf
    return SoftmaxRow(
        mean=(reference + mean).squeeze(-1),
        variance=(p * centred.square()).sum(-1),
        third=(p * centred**3).sum(-1),
        low=vectors.masked_fill(masked, torch.inf).amin(-1),
        high=vectors.masked_fill(masked, -torch.inf).amax(-1),
    )


def _relative(logits: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Probabilities, the vector relative to its entry at the likeliest class, and that entry."""
    exact = torch.promote_types(torch.promote_types(logits.dtype, vectors.dtype), torch.float32)
    top = logits.argmax(-1, keepdim=True).expand(*vectors.shape[:-1], 1)
    entries = torch.where(logits == -torch.inf, 0.0, vectors.to(exact))
    reference = entries.gather(-1, top)
    return logits.to(exact).softmax(-1), entries - reference, reference


# ---- the kernels --------------------------------------------------------------------------------------


@kernel
def row_kernel(  # type: ignore[no-untyped-def]
    logits_ptr, vectors_ptr, weights_ptr, product_ptr, moments_ptr, rows, logit_rows, classes,
    PRODUCT: tl.constexpr, WEIGHTS: tl.constexpr, ROWS: tl.constexpr, CLASSES: tl.constexpr,
):  # fmt: skip
    """Write the product of some whole rows, or what ``SoftmaxRow`` has of them."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, CLASSES)
    mask = (row < rows)[:, None] & (column < classes)[None, :]
    source = row % logit_rows
    z = tl.load(logits_ptr + source[:, None] * classes + column[None, :], mask=mask, other=-float("inf")).to(
        tl.float32
    )
    v = tl.load(vectors_ptr + row[:, None] * classes + column[None, :], mask=mask, other=0.0).to(tl.float32)
    counts = z > -float("inf")
    top = tl.max(z, axis=1)[:, None]
    top = tl.where(top > -float("inf"), top, 0.0)
    reference = tl.max(tl.where(z == top, v, -float("inf")), axis=1)[:, None]
    weight = tl.where(counts, tl.exp(z - top), 0.0)
    p = weight / tl.sum(weight, axis=1)[:, None]
    difference = tl.where(counts, v - reference, 0.0)
    mean = tl.sum(p * difference, axis=1)[:, None]
    centred = difference - mean
    if PRODUCT:
        product = p * centred
        if WEIGHTS:
            factor = tl.load(weights_ptr + source, mask=row < rows, other=0.0).to(tl.float32)
            product *= factor[:, None]
        place = product_ptr + row[:, None] * classes + column[None, :]
        tl.store(place, product.to(product_ptr.dtype.element_ty), mask=mask)
    else:
        here = moments_ptr + row * 5
        curved = p * centred * centred
        tl.store(here, tl.sum(reference + mean, axis=1), mask=row < rows)
        tl.store(here + 1, tl.sum(curved, axis=1), mask=row < rows)
        tl.store(here + 2, tl.sum(curved * centred, axis=1), mask=row < rows)
        tl.store(here + 3, tl.min(tl.where(counts, v, float("inf")), axis=1), mask=row < rows)
        tl.store(here + 4, tl.max(tl.where(counts, v, -float("inf")), axis=1), mask=row < rows)


@kernel
def long_row_kernel(  # type: ignore[no-untyped-def]
    logits_ptr, vectors_ptr, weights_ptr, product_ptr, moments_ptr, logit_rows, classes,
    PRODUCT: tl.constexpr, WEIGHTS: tl.constexpr, STRIP: tl.constexpr,
):  # fmt: skip
    """Write the same of one row, in two sweeps over it: the likeliest class and the mean, and the rest."""
    row = tl.program_id(0).to(tl.int64)
    source = row % logit_rows
    place = tl.arange(0, STRIP)
    top, reference = -float("inf"), 0.0
    total, summed = 0.0, 0.0  # of the weights, and of the entries times them, relative to top and reference
    least, largest = float("inf"), -float("inf")
    for start in range(0, classes, STRIP):
        column = start + place
        mask = column < classes
        z = tl.load(logits_ptr + source * classes + column, mask=mask, other=-float("inf")).to(tl.float32)
        v = tl.load(vectors_ptr + row * classes + column, mask=mask, other=0.0).to(tl.float32)
        counts = z > -float("inf")
        least = tl.minimum(least, tl.min(tl.where(counts, v, float("inf")), axis=0))
        largest = tl.maximum(largest, tl.max(tl.where(counts, v, -float("inf")), axis=0))
        here = tl.max(z, axis=0)
        if here > top:
            entry = tl.max(tl.where(z == here, v, -float("inf")), axis=0)
            scale = tl.exp(top - here)
            total *= scale
            summed = scale * summed + (reference - entry) * total
            top, reference = here, entry
        weight = tl.where(counts, tl.exp(z - top), 0.0)
        total += tl.sum(weight, axis=0)
        summed += tl.sum(weight * tl.where(counts, v - reference, 0.0), axis=0)
    mean = summed / total
    seconds = tl.zeros([STRIP], tl.float32)
    thirds = tl.zeros([STRIP], tl.float32)
    factor = 1.0
    if WEIGHTS:
        factor = tl.load(weights_ptr + source).to(tl.float32)
    for start in range(0, classes, STRIP):
        column = start + place
        mask = column < classes
        z = tl.load(logits_ptr + source * classes + column, mask=mask, other=-float("inf")).to(tl.float32)
        v = tl.load(vectors_ptr + row * classes + column, mask=mask, other=0.0).to(tl.float32)
        counts = z > -float("inf")
        p = tl.where(counts, tl.exp(z - top), 0.0) / total
        centred = tl.where(counts, v - reference, 0.0) - mean
        if PRODUCT:
            product = factor * p * centred
            tl.store(
                product_ptr + row * classes + column, product.to(product_ptr.dtype.element_ty), mask=mask
            )
        else:
            curved = p * centred * centred
            seconds += curved
            thirds += curved * centred
    if not PRODUCT:
        here = moments_ptr + row * 5
        tl.store(here, reference + mean)
        tl.store(here + 1, tl.sum(seconds, axis=0))
        tl.store(here + 2, tl.sum(thirds, axis=0))
        tl.store(here + 3, least)
        tl.store(here + 4, largest)


# ---- their launcher -----------------------------------------------------------------------------------


def _launch(
    logits: Tensor, vectors: Tensor, weights: Tensor | None, *, product: bool
) -> tuple[Tensor, Tensor]:
    """Return the product and the moments (rows, 5), one of which is empty."""
    rows, classes = vectors.shape
    output = vectors.new_empty((rows, classes) if product else (0,))
    moments = vectors.new_empty(0 if product else rows, 5, dtype=torch.float32)
    given = logits.contiguous(), vectors.contiguous(), logits if weights is None else weights.contiguous()
    flags = {"PRODUCT": product, "WEIGHTS": weights is not None}
    if classes > _LONGEST:
        long_row_kernel[(rows,)](
            *given, output, moments, len(logits), classes, **flags, STRIP=_STRIP, num_warps=8
        )
        return output, moments
    columns = 1 << (classes - 1).bit_length()
    height = max(1, _TILE // columns)
    row_kernel[(blocks(rows, height),)](
        *given, output, moments, rows, len(logits), classes, **flags,
        ROWS=height, CLASSES=columns, num_warps=16 if columns > _TILE else 4,
    )  # fmt: skip
    return output, moments


def _check(logits: Tensor, vectors: Tensor) -> None:
    if logits.dim() != 2 or vectors.dim() < 2 or vectors.shape[-2:] != logits.shape:
        raise ValueError(
            f"logits have shape {tuple(logits.shape)} and vectors {tuple(vectors.shape)}: they must be "
            "(rows, classes) and (…, rows, classes)"
        )
