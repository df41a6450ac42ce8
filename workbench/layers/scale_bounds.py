r"""``scale_bound``: how small the scale of a generalised Gaussian may be, as a function of its shape.

Where a scale is far below the width of a bin, the bits that training sees with uniform noise in place of
rounding are not those of rounded numbers, so that codecs bound it. All bounds here agree on
:math:`\alpha_0 = 0.11 \sqrt 2` at β = 2: a normal distribution of deviation 0.11, the customary bound for
Gaussians.

==================  ======================================================================================
``"tail"``          the scale at which as much is left outside the bin about the mean as is for that normal
                    distribution: :math:`Q(1/\beta, (\frac{1}{2\alpha})^\beta) = Q(\frac12,
                    (\frac{1}{2\alpha_0})^2) = 5.5 \cdot 10^{-6}`
``"proportional"``  :math:`\alpha_0 \beta / 2`
``"constant"``      :math:`\alpha_0`
``"none"``          :math:`10^{-3}`, so that nothing is divided by 0
==================  ======================================================================================

Source: bounds that depend on β, by a threshold of the distribution function or in proportion to β, are those
of arXiv 2602.01325 and 2411.19320, as their abstracts and summaries tell; the threshold and the factor here
are derived from the Gaussian's bound.
"""

import functools
import math
from typing import Any

import numpy as np
import torch
from scipy import special
from torch import Tensor

from workbench.choices import check_choice
from workbench.kernels.dispatch import computing

BOUNDS = ("tail", "proportional", "constant", "none")
_NORMAL = 0.11 * math.sqrt(2)
_OUTSIDE = math.erfc(0.5 / _NORMAL)  # of the bin about the mean
_LEAST = 1e-3
_SHAPES = np.geomspace(0.1, 20, 401)  # between which the tail's bound is interpolated


def scale_bound(beta: Tensor, kind: str = "tail") -> Tensor:
    """Return the smallest scale for each shape; no gradient is recorded.

    Parameters
    ----------
    beta : Tensor
        Shapes, from 0.1 to 20 for ``"tail"``.
    kind : {"tail", "proportional", "constant", "none"}
        See the module. The tail's is interpolated in at least float32, to 1e-4 of itself.

    Raises
    ------
    ValueError
        If the kind is unknown.
    """
    check_choice("bound", kind, BOUNDS)
    beta = beta.detach()
    if kind == "proportional":
        return beta * (_NORMAL / 2)
    if kind != "tail":
        return torch.full_like(beta, _NORMAL if kind == "constant" else _LEAST)
    exact = beta.to(computing(beta))
    logs = torch.as_tensor(_tail_logarithms(), dtype=exact.dtype, device=beta.device)
    place = (exact / _SHAPES[0]).log() / math.log(_SHAPES[1] / _SHAPES[0])
    left = place.floor().clamp(0, len(_SHAPES) - 2).long()
    share = place - left
    return ((1 - share) * logs[left] + share * logs[left + 1]).exp().to(beta.dtype)


@functools.cache
def _tail_logarithms() -> np.ndarray:
    """Logarithms of the tail's bound at the shapes that it is interpolated between."""
    return -math.log(2) - np.log(special.gammainccinv(1 / _SHAPES, _OUTSIDE)) / _SHAPES


def bounded(x: Tensor, bound: Tensor | float) -> Tensor:
    """Return the larger of both; where that is the bound, x still gets gradients that would raise it."""
    return _Bounded.apply(x, torch.as_tensor(bound, dtype=x.dtype, device=x.device).expand_as(x))


class _Bounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, bound: Tensor) -> Tensor:
        ctx.save_for_backward(x < bound)
        return torch.maximum(x, bound)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (below,), (grad,) = ctx.saved_tensors, grads
        return grad.masked_fill(below & (grad > 0), 0.0), None
