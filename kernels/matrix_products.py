"""``rows_product`` and ``linear``: float32 products on CPUs that PyTorch leaves half idle.

PyTorch multiplies float32 on a CPU with MKL, which does without AVX-512 on AMD's; oneDNN, which PyTorch
brings too, uses it: 2.2 to 2.6 times the speed on an EPYC. On other machines, and for other tensors, these
are PyTorch's own operations.

oneDNN adds up a whole row in one accumulator, MKL in parts: over 4096 numbers the relative error is 6e-7
against 3e-7. The sums of a gradient are cut into parts here, too.
"""

import functools
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_PLAIN = (Tensor, nn.Parameter)
_CPUS = Path("/proc/cpuinfo")
_LARGE = 1 << 24  # multiplications, below which oneDNN's buffers cost more than it gains
_PART = 128  # terms of a sum that are added up in one accumulator


def rows_product(x: Tensor, rows: Tensor) -> Tensor:
    """Return ``x @ rows.T``: (n, k) with (m, k) gives (n, m). Not to be differentiated."""
    return _by_onednn(x, rows) if _takes_onednn(x, rows) else x @ rows.T


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """Return ``F.linear(x, weight)``, whose gradient to ``x`` is quicker; differentiable to any order."""
    if not _takes_onednn(x, weight):
        return F.linear(x, weight)
    product: Tensor = _Linear.apply(x, weight)
    return product


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        needs_x, needs_weight = ctx.needs_input_grad
        ctx.save_for_backward(x if needs_weight else None, weight if needs_x else None)
        return F.linear(x, weight)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        x_grad = weight_grad = None
        if weight is not None:
            # Whoever differentiates once more gets an operation that can be.
            quick = not torch.is_grad_enabled() and _takes_onednn(grad, weight.T)
            x_grad = _input_gradient(grad, weight) if quick else grad @ weight
        if x is not None:
            weight_grad = grad.reshape(-1, grad.shape[-1]).T @ x.reshape(-1, x.shape[-1])
        return x_grad, weight_grad


def _input_gradient(grad: Tensor, weight: Tensor) -> Tensor:
    """Return ``grad @ weight``, with sums over rows of the weight in parts."""
    flat = grad.reshape(-1, grad.shape[-1])
    total = grad.new_zeros(len(flat), weight.shape[1])
    for columns, rows in zip(flat.split(_PART, 1), weight.split(_PART), strict=True):
        total += _by_onednn(columns.contiguous(), rows.T)
    return total.view(*grad.shape[:-1], weight.shape[1])


def _by_onednn(x: Tensor, rows: Tensor) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x, rows, None, "none", [], "")
    return product


def _takes_onednn(x: Tensor, rows: Tensor) -> bool:
    is_large = x.numel() * rows.shape[0] >= _LARGE
    return is_large and not _is_watched() and _suits(x) and _suits(rows) and _onednn_is_faster()


def _suits(tensor: Tensor) -> bool:
    plain = type(tensor) in _PLAIN and tensor.layout == torch.strided and not tensor.is_nested
    plain = plain and not torch._C._functorch.is_legacy_batchedtensor(tensor)  # of `is_grads_batched`
    # Rows with gaps between them would be multiplied by a loop that takes minutes.
    return (
        plain
        and tensor.dtype == torch.float32
        and tensor.device.type == "cpu"
        and tensor.numel() > 0
        and (tensor.is_contiguous() or (tensor.dim() > 1 and tensor.mT.is_contiguous()))
    )


def _is_watched() -> bool:
    """Whether somebody traces, transforms, counts or casts operations, who is to see PyTorch's own."""
    return (
        torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()
        or torch._C._len_torch_dispatch_stack() > 0
        or torch.autograd.forward_ad._current_level >= 0
        or torch.is_autocast_enabled("cpu")
        or not torch.backends.mkldnn.enabled
    )


@functools.cache
def _onednn_is_faster() -> bool:
    """Whether this is such a CPU, and oneDNN's product, which PyTorch does not promise to keep, is right."""
    if torch.backends.cpu.get_cpu_capability() != "AVX512" or _vendor() != "AuthenticAMD":
        return False
    x = torch.linspace(-1, 1, 24, dtype=torch.float32, device="cpu").view(4, 6)
    rows = x.flip(0).square()
    try:
        return torch.allclose(_by_onednn(x, rows), x @ rows.T, rtol=1e-5, atol=1e-6)
    except (AttributeError, RuntimeError):
        return False


def _vendor() -> str:
    """Of the CPU, as it calls itself; empty where the system does not tell."""
    if not _CPUS.exists():
        return ""
    lines = (line.partition(":") for line in _CPUS.read_text().splitlines())
    return next((value.strip() for name, _, value in lines if name.strip() == "vendor_id"), "")
