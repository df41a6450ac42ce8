r"""``dora_norm``: the norm of each row of a weight with its low-rank update, which is never formed.

.. math::

    \|W + sBA\|^2_{\text{row}} =
    \|W\|^2_{\text{row}} + s \, \Sigma_r \, B \odot (2 W A^\top + s B A A^\top)

W (rows, inputs), A (rank, inputs), B (rows, rank). The sum over the rank is over one accumulator, a block of
which is all that is held; the first term does not change while W is frozen, and may be handed in. In DoRA the
norm is a constant (arXiv 2402.09353, section 4.3).

The expansion is that of arXiv 2603.22276, where two sums are kept apart. All is float32 whatever the inputs
are, and so is the result: rounded to bfloat16, a norm would lose what the magnitude is to correct.
"""

import torch
from torch import Tensor

from workbench.kernels.dispatch import computing, takes_triton
from workbench.kernels.jit import blocks, kernel, tl
from workbench.kernels.matrix_products import rows_product

_CHUNK = 512  # rows that the PyTorch path takes at a time
_ROWS, _RANK, _INPUTS = 64, 64, 32  # of the blocks that a program of the kernel holds
_WARPS, _STAGES = 4, 3


def dora_norm(weight: Tensor, a: Tensor, b: Tensor, scale: float, squared: Tensor | None = None) -> Tensor:
    r"""Return the Euclidean norm of each row of ``weight + scale * b @ a``.

    Parameters
    ----------
    weight : Tensor (rows, inputs)
    a : Tensor (rank, inputs)
    b : Tensor (rows, rank)
    scale : float
        Usually alpha / rank.
    squared : Tensor (rows,), optional
        :func:`squared_norms` of the weight, where it is known: it saves a pass over it.

    Returns
    -------
    Tensor (rows,)
        float32, or float64 if one of the inputs is. Where gradients are recorded, PyTorch computes them, to
        any order; under ``torch.no_grad()`` the kernel, or chunks of rows, compute the norm alone.

    Raises
    ------
    ValueError
        If shapes or devices do not fit.

    Notes
    -----
    The error is a few roundings of ``‖weight‖²`` relative to the squared norm: it grows in a row that the
    update nearly cancels. Cost: 2 · rows · rank · (inputs + rank) operations; memory beside the result: a
    float32 copy of a chunk, and rank² entries.
    """
    _check(weight, a, b, squared)
    inputs = (weight, a, b) if squared is None else (weight, a, b, squared)
    differentiated = torch.is_grad_enabled() and any(each.requires_grad for each in inputs)
    compute = norms_by_pytorch if differentiated or torch._C._are_functorch_transforms_active() else _norms
    with torch.autocast(weight.device.type, enabled=False):  # which would round the products
        return compute(weight, a, b, scale, squared)


def squared_norms(weight: Tensor) -> Tensor:
    """Return the squared norm of each row (rows,) in float32, or float64 if the weight is; one pass."""
    exact = computing(weight)
    result = weight.new_empty(weight.shape[0], dtype=exact)
    for rows, into in zip(weight.split(_CHUNK), result.split(_CHUNK), strict=True):
        into.copy_(torch.linalg.vector_norm(rows, dim=1, dtype=exact).square_())
    return result


def norms_by_pytorch(
    weight: Tensor, a: Tensor, b: Tensor, scale: float, squared: Tensor | None = None
) -> Tensor:
    """Return the same by PyTorch's operations, in one piece: what can be differentiated."""
    exact = computing(weight, a, b)
    weight, a, b = weight.to(exact), a.to(exact), b.to(exact)
    squared = weight.square().sum(1) if squared is None else squared.to(exact)
    cross = (b * (2 * weight @ a.T + scale * b @ (a @ a.T))).sum(1)
    return (squared + scale * cross).clamp(min=0).sqrt()


def _norms_by_chunks(weight: Tensor, a: Tensor, b: Tensor, scale: float, squared: Tensor) -> Tensor:
    """The same with memory for a chunk of rows, which are converted one chunk at a time.

    A product of bfloat16 matrices takes a CPU without instructions for it a hundred times as long.
    """
    exact = computing(weight, a, b)
    a = a.to(exact)
    gram = rows_product(a, a)
    result = squared.to(exact, copy=True)
    chunks = (each.split(_CHUNK) for each in (weight, b, result))
    for rows, factors, into in zip(*chunks, strict=True):
        factors = factors.to(exact)
        accumulator = rows_product(rows.to(exact), a)
        accumulator.addmm_(factors, gram, beta=2, alpha=scale).mul_(factors)
        into.add_(accumulator.sum(1), alpha=scale)
    return result.clamp_(min=0).sqrt_()


# ---- the kernel ---------------------------------------------------------------------------------------


@kernel
def cross_kernel(  # type: ignore[no-untyped-def]
    weight_ptr, a_ptr, b_ptr, gram_ptr, partial_ptr, rows, inputs, rank, scale,
    PRECISION: tl.constexpr, FULL: tl.constexpr,
    ROWS: tl.constexpr, RANK: tl.constexpr, INPUTS: tl.constexpr,
):  # fmt: skip
    """Sum B ⊙ (2WAᵀ + sBAAᵀ) over a block of the rank, for a block of rows.

    Programs of the same rows are neighbours, so that W is read from memory once and then from the cache.
    """
    column = tl.program_id(0) * RANK + tl.arange(0, RANK)
    row = tl.program_id(1).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    total = tl.zeros([ROWS, RANK], tl.float32)
    for start in range(0, inputs, INPUTS):
        k = start + tl.arange(0, INPUTS)
        mask = (row < rows)[:, None] & (k < inputs)[None, :]
        w = tl.load(weight_ptr + row[:, None] * inputs + k[None, :], mask=mask, other=0.0).to(tl.float32)
        mask = (column < rank)[:, None] & (k < inputs)[None, :]
        a = tl.load(a_ptr + column[:, None] * inputs + k[None, :], mask=mask, other=0.0).to(tl.float32)
        total = tl.dot(w, tl.trans(a), total, input_precision=PRECISION)
    total *= 2
    for start in range(0, rank, INPUTS):
        k = start + tl.arange(0, INPUTS)
        mask = (row < rows)[:, None] & (k < rank)[None, :]
        b = tl.load(b_ptr + row[:, None] * rank + k[None, :], mask=mask, other=0.0).to(tl.float32)
        # The Gram matrix is symmetric: its rows are read where its columns are meant.
        mask = (column < rank)[:, None] & (k < rank)[None, :]
        gram = tl.load(gram_ptr + column[:, None] * rank + k[None, :], mask=mask, other=0.0).to(tl.float32)
        total = tl.dot(scale * b, tl.trans(gram), total, input_precision=FULL)
    mask = (row < rows)[:, None] & (column < rank)[None, :]
    b = tl.load(b_ptr + row[:, None] * rank + column[None, :], mask=mask, other=0.0).to(tl.float32)
    place = row * tl.num_programs(0) + tl.program_id(0)
    tl.store(partial_ptr + place, tl.sum(b * total, axis=1), mask=row < rows)


def _launch(weight: Tensor, a: Tensor, b: Tensor, scale: float, squared: Tensor) -> Tensor:
    (rows, inputs), rank = weight.shape, a.shape[0]
    exact_a = a.float()
    partial = weight.new_empty(rows, blocks(rank, _RANK), dtype=torch.float32)
    precision, full = precisions(weight.dtype, a.dtype, amd=torch.version.hip is not None)
    cross_kernel[partial.shape[1], blocks(rows, _ROWS)](
        weight.contiguous(), a.contiguous(), b.contiguous(), exact_a @ exact_a.T, partial,
        rows, inputs, rank, scale, PRECISION=precision, FULL=full,
        ROWS=_ROWS, RANK=_RANK, INPUTS=_INPUTS, num_warps=_WARPS, num_stages=_STAGES,
    )  # fmt: skip
    return (squared + scale * partial.sum(1)).clamp_(min=0).sqrt_()


def precisions(weight: torch.dtype, a: torch.dtype, *, amd: bool) -> tuple[str, str]:
    """Return how matrices are multiplied: W with A, and the two of float32.

    TensorFloat-32 holds every bfloat16 and every float16 exactly, so one product is exact; float32 is split
    into three. AMD's matrix cores multiply float32 as it is.
    """
    full = "ieee" if amd else "tf32x3"
    halves = (torch.bfloat16, torch.float16)
    return ("tf32" if weight in halves and a in halves and not amd else full), full


@torch.library.custom_op("workbench::dora_norm", mutates_args=())
def _norms(weight: Tensor, a: Tensor, b: Tensor, scale: float, squared: Tensor | None) -> Tensor:
    squared = squared_norms(weight) if squared is None else squared
    if not a.numel() or not weight.numel() or scale == 0:
        return squared.to(computing(weight, a, b)).sqrt()
    if takes_triton(weight, a, b, squared):
        return _launch(weight, a, b, scale, squared)
    return _norms_by_chunks(weight, a, b, scale, squared)


@_norms.register_fake
def _(weight: Tensor, a: Tensor, b: Tensor, scale: float, squared: Tensor | None) -> Tensor:
    return weight.new_empty(weight.shape[0], dtype=computing(weight, a, b))


def _check(weight: Tensor, a: Tensor, b: Tensor, squared: Tensor | None) -> None:
    shapes = f"weight {tuple(weight.shape)}, a {tuple(a.shape)}, b {tuple(b.shape)}"
    if not weight.ndim == a.ndim == b.ndim == 2:
        raise ValueError(f"{shapes}: all must be matrices")
    if b.shape != (weight.shape[0], a.shape[0]) or a.shape[1] != weight.shape[1]:
        raise ValueError(f"{shapes}: b @ a must have the shape of weight")
    if squared is not None and squared.shape != weight.shape[:1]:
        raise ValueError(f"squared has shape {tuple(squared.shape)}, not one entry per row of {shapes}")
