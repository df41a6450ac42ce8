"""How near to float64 a kernel has to come."""

import torch
from torch import Tensor

from workbench.kernels.dispatch import interpreting


def tolerance(dtype: torch.dtype) -> float:
    """Error allowed, relative to the largest entry; the interpreter cuts bfloat16 off instead of rounding."""
    if dtype == torch.float32:
        return 5e-7
    return {torch.bfloat16: 2**-7 if interpreting() else 2**-8, torch.float16: 2**-11}[dtype]


def assert_near(name: str, actual: Tensor, truth: Tensor, allowed: float) -> None:
    """Compare with a float64 truth; the error is relative to its largest entry."""
    assert truth.dtype == torch.float64, name
    assert actual.shape == truth.shape, f"{name}: {tuple(actual.shape)} for {tuple(truth.shape)}"
    scale = truth.abs().max().item() if truth.numel() else 0.0
    error = (actual.double() - truth).abs().max().item() / (scale or 1.0) if truth.numel() else 0.0
    assert error <= allowed, f"{name}: error {error:.3g} relative to the largest entry, allowed {allowed:.3g}"
