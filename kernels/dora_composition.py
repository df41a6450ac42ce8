r"""``dora_compose``: the output of a DoRA layer from its two products.

.. math:: y = g \odot (b + l) + c

b (rows, columns) is the product with the frozen weight, l that with the low-rank update, already scaled, g
the magnitude over the norm of each row of the updated weight, and c the bias; g and c have one entry per
column. With h = g ⊙ dy the gradients are db = dl = h, dg = Σ_rows dy ⊙ (b + l) and dc = Σ_rows dy.

The layer is that of DoRA (arXiv 2402.09353, equation 5). Published kernels compute the change y - b of the
output in the dtype of the activations, which a g near 1 that is rounded to bfloat16 mostly loses (formulas of
arXiv 2603.22276). Here g stays float32, the whole output is written, and it is rounded once.
"""

from typing import Any

import torch
from torch import Tensor

from workbench.kernels.dispatch import computing, takes_triton
from workbench.kernels.jit import blocks, kernel, tl

_ROWS, _COLUMNS = 4, 256  # of the tile that a program holds at a time
_STEPS = 16  # tiles of rows that a program of the backward kernel sums before it writes
_WARPS = 4


def dora_compose(base: Tensor, lora: Tensor, gain: Tensor, bias: Tensor | None = None) -> Tensor:
    r"""Return ``gain * (base + lora) + bias``, computed in float32 and rounded once.

    Parameters
    ----------
    base, lora : Tensor (..., columns)
        Of equal shape and dtype.
    gain : Tensor (columns,)
        Best in float32, whatever the dtype of the others.
    bias : Tensor (columns,), optional
        Added last.

    Returns
    -------
    Tensor (..., columns)
        In the dtype of ``base``. Differentiable to any order; sums over rows have a fixed order.

    Raises
    ------
    ValueError
        If shapes, dtypes or devices do not fit.
    """
    _check(base, lora, gain, bias)
    if torch._C._are_functorch_transforms_active():  # vmap and jvp go through PyTorch's own operations
        return compose_by_pytorch(base, lora, gain, bias)
    flat = (base.shape[:-1].numel(), base.shape[-1])
    return _compose(base.reshape(flat), lora.reshape(flat), gain, bias).view(base.shape)


def compose_by_pytorch(base: Tensor, lora: Tensor, gain: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return the same by PyTorch's operations: what the kernel is held against."""
    exact = computing(base)
    output = (base.to(exact) + lora.to(exact)) * gain.to(exact)
    return (output if bias is None else output + bias.to(exact)).to(base.dtype)


def gradients_by_pytorch(
    grad: Tensor, gain: Tensor, base: Tensor | None, lora: Tensor | None, bias: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients to ``base`` (and ``lora``), to the gain and to the bias, by PyTorch's operations.

    Without ``base`` and ``lora`` that to the gain is zero, and without ``bias`` that to the bias.
    """
    exact = computing(grad)
    dy = grad.to(exact)
    none = dy.new_zeros(dy.shape[1])
    gain_grad = none if base is None or lora is None else (dy * (base.to(exact) + lora.to(exact))).sum(0)
    return (dy * gain.to(exact)).to(grad.dtype), gain_grad, dy.sum(0) if bias else none.clone()


# ---- the kernels --------------------------------------------------------------------------------------


@kernel
def forward_kernel(  # type: ignore[no-untyped-def]
    base_ptr, lora_ptr, gain_ptr, bias_ptr, output_ptr, rows, columns,
    BIAS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Write one tile of the output."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    within = column < columns
    gain = tl.load(gain_ptr + column, mask=within, other=0.0).to(tl.float32)
    mask = (row < rows)[:, None] & within[None, :]
    place = row[:, None] * columns + column[None, :]
    base = tl.load(base_ptr + place, mask=mask, other=0.0).to(tl.float32)
    lora = tl.load(lora_ptr + place, mask=mask, other=0.0).to(tl.float32)
    output = (base + lora) * gain[None, :]
    if BIAS:
        output += tl.load(bias_ptr + column, mask=within, other=0.0).to(tl.float32)[None, :]
    tl.store(output_ptr + place, output.to(output_ptr.dtype.element_ty), mask=mask)


@kernel
def backward_kernel(  # type: ignore[no-untyped-def]
    grad_ptr, gain_ptr, base_ptr, lora_ptr, inner_grad_ptr, gain_grad_ptr, bias_grad_ptr, rows, columns,
    GAIN: tl.constexpr, BIAS: tl.constexpr, STEPS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Write a strip of tiles of h, and the sums over its rows: one row of each array of partial sums."""
    strip = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    within = column < columns
    gain = tl.load(gain_ptr + column, mask=within, other=0.0).to(tl.float32)
    gain_grad = tl.zeros([ROWS, COLUMNS], tl.float32)
    bias_grad = tl.zeros([ROWS, COLUMNS], tl.float32)
    for step in range(STEPS):
        row = (strip * STEPS + step) * ROWS + tl.arange(0, ROWS)
        mask = (row < rows)[:, None] & within[None, :]
        place = row[:, None] * columns + column[None, :]
        grad = tl.load(grad_ptr + place, mask=mask, other=0.0).to(tl.float32)
        inner_grad = grad * gain[None, :]
        tl.store(inner_grad_ptr + place, inner_grad.to(inner_grad_ptr.dtype.element_ty), mask=mask)
        if GAIN:
            base = tl.load(base_ptr + place, mask=mask, other=0.0).to(tl.float32)
            lora = tl.load(lora_ptr + place, mask=mask, other=0.0).to(tl.float32)
            gain_grad += grad * (base + lora)
        if BIAS:
            bias_grad += grad
    partial = strip * columns + column
    if GAIN:
        tl.store(gain_grad_ptr + partial, tl.sum(gain_grad, axis=0), mask=within)
    if BIAS:
        tl.store(bias_grad_ptr + partial, tl.sum(bias_grad, axis=0), mask=within)


# ---- their launchers ----------------------------------------------------------------------------------


def _launch_forward(base: Tensor, lora: Tensor, gain: Tensor, bias: Tensor | None) -> Tensor:
    rows, columns = base.shape
    output = torch.empty_like(base, memory_format=torch.contiguous_format)
    grid = (blocks(rows, _ROWS), blocks(columns, _COLUMNS))
    forward_kernel[grid](
        base.contiguous(), lora.contiguous(), gain.contiguous(), gain if bias is None else bias.contiguous(),
        output, rows, columns, BIAS=bias is not None, ROWS=_ROWS, COLUMNS=_COLUMNS, num_warps=_WARPS,
    )  # fmt: skip
    return output


def _launch_backward(
    grad: Tensor, gain: Tensor, base: Tensor | None, lora: Tensor | None, bias: bool
) -> tuple[Tensor, Tensor, Tensor]:
    rows, columns = grad.shape
    strips = blocks(rows, _ROWS * _STEPS)
    grad, needs_gain = grad.contiguous(), base is not None and lora is not None
    inner_grad = torch.empty_like(grad)
    gain_grad = grad.new_empty(strips if needs_gain else 0, columns, dtype=torch.float32)
    bias_grad = grad.new_empty(strips if bias else 0, columns, dtype=torch.float32)
    backward_kernel[strips, blocks(columns, _COLUMNS)](
        grad, gain.contiguous(), grad if base is None else base.contiguous(),
        grad if lora is None else lora.contiguous(), inner_grad, gain_grad, bias_grad, rows, columns,
        GAIN=needs_gain, BIAS=bias, STEPS=_STEPS, ROWS=_ROWS, COLUMNS=_COLUMNS, num_warps=_WARPS,
    )  # fmt: skip
    return inner_grad, gain_grad.sum(0), bias_grad.sum(0)


# ---- the operations as PyTorch knows them -------------------------------------------------------------


@torch.library.custom_op("workbench::dora_compose", mutates_args=())
def _compose(base: Tensor, lora: Tensor, gain: Tensor, bias: Tensor | None) -> Tensor:
    if base.numel() and takes_triton(base, lora, gain, bias):
        return _launch_forward(base, lora, gain, bias)
    return compose_by_pytorch(base, lora, gain, bias)


@torch.library.custom_op("workbench::dora_compose_backward", mutates_args=())
def _gradients(
    grad: Tensor, gain: Tensor, base: Tensor | None, lora: Tensor | None, bias: bool
) -> tuple[Tensor, Tensor, Tensor]:
    if grad.numel() and takes_triton(grad, gain, base, lora):
        return _launch_backward(grad, gain, base, lora, bias)
    return gradients_by_pytorch(grad, gain, base, lora, bias)


@_compose.register_fake
def _(base: Tensor, lora: Tensor, gain: Tensor, bias: Tensor | None) -> Tensor:
    return base.new_empty(base.shape)


@_gradients.register_fake
def _(
    grad: Tensor, gain: Tensor, base: Tensor | None, lora: Tensor | None, bias: bool
) -> tuple[Tensor, Tensor, Tensor]:
    sums = [grad.new_empty(grad.shape[1], dtype=computing(grad)) for _ in range(2)]
    return grad.new_empty(grad.shape), sums[0], sums[1]


def _save(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, Tensor | None], output: Tensor) -> None:
    base, lora, gain, bias = inputs
    products = (base, lora) if ctx.needs_input_grad[2] else (None, None)  # a frozen gain needs neither
    ctx.save_for_backward(gain, *products)
    ctx.bias_dtype = None if bias is None else bias.dtype


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    gain, base, lora = ctx.saved_tensors
    needs_bias = ctx.needs_input_grad[3]
    # Whoever differentiates once more gets operations that can be.
    gradients = gradients_by_pytorch if torch.is_grad_enabled() else _gradients
    inner_grad, gain_grad, bias_grad = gradients(grad, gain, base, lora, needs_bias)
    return (
        inner_grad,
        inner_grad,
        None if base is None else gain_grad.to(gain.dtype),
        bias_grad.to(ctx.bias_dtype) if needs_bias else None,
    )


_compose.register_autograd(_backward, setup_context=_save)


def _check(base: Tensor, lora: Tensor, gain: Tensor, bias: Tensor | None) -> None:
    if base.shape != lora.shape or base.dtype != lora.dtype:
        raise ValueError(
            f"base is {tuple(base.shape)} of {base.dtype}, lora {tuple(lora.shape)} of {lora.dtype}: "
            "they must be alike"
        )
    for name, vector in (("gain", gain), ("bias", bias)):
        if vector is not None and vector.shape != base.shape[-1:]:
            raise ValueError(
                f"{name} has shape {tuple(vector.shape)}, not that of a row, {tuple(base.shape[-1:])}"
            )
