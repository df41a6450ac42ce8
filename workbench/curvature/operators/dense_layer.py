r"""A dense layer whose pullback is multiplied with several columns at once, without copies.

For a covector g (…, m) of :math:`y = x W^\top + b` the gradients are :math:`g W`, :math:`g^\top x` and the
sum of g. These are linear in g; along changes (v, A, c) of the three, their derivative by g is

.. math:: v W^\top + x A^\top + c

Of several columns torch makes one long matrix for :math:`x A^\top` and :math:`g^\top x`, whose product comes
out transposed: whatever follows copies it, which took a sixth of a transformer's time. Here these two are
batches of products, in order. Derived here.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

Wanted = tuple[bool, bool, bool]  # whether the gradients by x, weight and bias are


class Linear(torch.autograd.Function):
    """``Linear.apply(x, weight, bias)``: x (…, n), weight (m, n), bias (m,) or None.

    The gradients' own derivatives by x and the weight are left out: a Gauss-Newton matrix has none.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        # A third, empty tensor: a checkpointed block that is computed again without this notices it.
        ctx.save_for_backward(x, weight, x.new_empty(0))
        return F.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, _ = ctx.saved_tensors
        if not torch.is_grad_enabled():
            return _gradients(g, x, weight, ctx.needs_input_grad)
        return _Gradients.apply(g, x.detach(), weight.detach(), ctx.needs_input_grad)


class _Gradients(torch.autograd.Function):
    """The gradients with respect to x, weight and bias, as far as they are wanted, for a covector g."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, x: Tensor, weight: Tensor, wanted: Wanted) -> tuple[Tensor | None, ...]:
        ctx.save_for_backward(x, weight)
        ctx.set_materialize_grads(False)
        return _gradients(g, x, weight, wanted)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, v: Tensor | None, a: Tensor | None, c: Tensor | None) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        rows = _rows(x)
        moved = rows.new_zeros(len(weight)) if c is None else c
        if v is not None:
            moved = torch.addmm(moved, _rows(v), weight.T)
        if a is not None:
            moved = _AddProduct.apply(moved, rows, a.T)
        return moved.expand(len(rows), -1).view(*x.shape[:-1], len(weight)), None, None, None


def _gradients(g: Tensor, x: Tensor, weight: Tensor, wanted: Wanted) -> tuple[Tensor | None, ...]:
    covectors, rows = _rows(g), _rows(x)
    return (
        covectors.mm(weight).view(x.shape) if wanted[0] else None,
        _AddProduct.apply(rows.new_zeros(1), covectors.T, rows) if wanted[1] else None,
        covectors.sum(0) if wanted[2] else None,
    )


def _rows(tensor: Tensor) -> Tensor:
    return tensor.reshape(tensor.shape[:-1].numel(), tensor.shape[-1])


class _AddProduct(torch.autograd.Function):
    """The product of two matrices, added to a third or to a vector; of columns, a batch of products."""

    @staticmethod
    def forward(start: Tensor, left: Tensor, right: Tensor) -> Tensor:
        return torch.addmm(start, left, right)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        """Nothing is kept: this is a derivative, and not differentiated itself."""

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *matrices: Tensor) -> tuple[Tensor, int]:
        start, left, right = (
            matrix.expand(info.batch_size, *matrix.shape) if dim is None else matrix.movedim(dim, 0)
            for matrix, dim in zip(matrices, in_dims[:3], strict=True)
        )
        if start.dim() == 2:
            start = start[:, None]
        return torch.baddbmm(start, left, right), 0
