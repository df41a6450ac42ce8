"""Functions of one's own that torch cannot differentiate in every way."""

from typing import Any

import torch
from torch import Tensor, nn


class Square(torch.autograd.Function):
    """Without a derivative in forward mode."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return 2 * ctx.saved_tensors[0] * gradient


class Squared(nn.Module):
    """The same as a layer."""

    def forward(self, x: Tensor) -> Tensor:
        return Square.apply(x)
