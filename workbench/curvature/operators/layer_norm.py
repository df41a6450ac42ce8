r"""Layer normalisation whose derivatives are cheap to differentiate.

With :math:`\hat x = (x - \bar x)/\sigma` over the n normalised entries, the projection
:math:`P u = u - \bar u - \hat x\,\overline{\hat x \circ u}` and bars for means, the gradient of
:math:`y = \gamma \circ \hat x + \beta` for a covector g is

.. math:: \dot x = P(\gamma \circ g)/\sigma \qquad \dot\gamma = \sum g \circ \hat x \qquad \dot\beta = \sum g

Along changes (v, a, b) of the three, that has the derivatives

.. math:: \gamma \circ s + \hat x \circ a + b \quad\text{by } g \qquad \sum s \circ g \quad\text{by } \gamma
   \qquad \frac{1}{\sigma}\left(P(a \circ g) - e\, \dot x - c\, s - f\, \hat x\right) \quad\text{by } x

with :math:`s = P v/\sigma` and the means :math:`e = \overline{v \circ \hat x}`,
:math:`c = \overline{\gamma \circ g \circ \hat x}` and :math:`f = \overline{v \circ \dot x}`. Torch's fused
kernel computes P. Its own second derivative makes some sixty passes over memory. Derived here.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_forward, _backward = torch.ops.aten.native_layer_norm, torch.ops.aten.native_layer_norm_backward


class LayerNorm(torch.autograd.Function):
    """``LayerNorm.apply(x, weight, bias, eps, twice)``: x (…, n) with weight and bias (n,).

    ``twice`` says whether gradients depend on x and the weight; else these are constants there.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float, twice: bool) -> Tensor:
        values, mean, inverse = _forward(x, weight.shape, weight, bias, eps)
        ctx.save_for_backward(x, weight, mean, inverse)
        ctx.twice = twice
        return values

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, inverse = ctx.saved_tensors
        if not torch.is_grad_enabled():
            parts = _backward(g, x, weight.shape, mean, inverse, weight, weight, [True] * 3)
        else:
            x, weight = (x, weight) if ctx.twice else (x.detach(), weight.detach())
            parts = _Gradient.apply(g, x, weight, mean, inverse)
        return *parts, None, None


class _Gradient(torch.autograd.Function):
    """The gradients with respect to x, weight and bias for a covector g like x."""

    @staticmethod
    def forward(
        ctx: Any, g: Tensor, x: Tensor, weight: Tensor, mean: Tensor, inverse: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        parts = _backward(g, x, weight.shape, mean, inverse, weight, weight, [True] * 3)
        hat = (x - mean) * inverse
        more = [g, parts[0]] if ctx.needs_input_grad[1] or ctx.needs_input_grad[2] else []
        ctx.save_for_backward(x, weight, mean, inverse, hat, *more)
        return parts

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, v: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, inverse, hat, *more = ctx.saved_tensors
        shape = weight.shape
        s, _, _ = _backward(v, x, shape, mean, inverse, None, None, [True, False, False])
        by_g = torch.addcmul(torch.addcmul(b, hat, a), s, weight)  # not in place: vmap refuses that
        if not more:
            return by_g, None, None, None, None
        g, gradient = more
        e, c, f = _mean_product(v, hat), _mean_product(g * weight, hat), _mean_product(v, gradient)
        by_x, _, _ = _backward(g, x, shape, mean, inverse, a, None, [True, False, False])
        by_x = torch.addcmul(by_x, gradient * e + c * s + hat * f, inverse, value=-1)
        by_weight = torch.linalg.vecdot(s.reshape(-1, *shape), g.reshape(-1, *shape), dim=0)
        return by_g, by_x, by_weight, None, None


def _mean_product(left: Tensor, right: Tensor) -> Tensor:
    return torch.linalg.vecdot(left, right).unsqueeze(-1) / left.shape[-1]
