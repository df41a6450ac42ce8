r"""Distance of the nearest complex singularity of a layer whose inputs move on straight lines, h + t h'.

A function of one number with a singularity at s has one at t = (s - h) / h'. Derived here.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

_GELU_POLES = 200  # branches of the tanh's poles; enough for inputs to about 30

Distance = Callable[..., Tensor]


def _at_height(height: float) -> Distance:
    """Singularities at ± i height, and farther ones above and below."""

    def distance(h: Tensor, change: Tensor, *_: Any, **__: Any) -> Tensor:
        return torch.hypot(h, torch.full_like(h, height)) / change.abs()

    return distance


def _softplus(h: Tensor, change: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """The logarithm of 1 + exp(beta h) branches at ± i pi / beta."""
    return torch.hypot(h, torch.full_like(h, math.pi / beta)) / change.abs()


def _kink(h: Tensor, change: Tensor, *_: Any, **__: Any) -> Tensor:
    return h.abs() / change.abs()


def _gelu(h: Tensor, change: Tensor, *, approximate: str = "none") -> Tensor:
    """Poles of its tanh form; exact, it is an entire function."""
    if approximate == "none":
        return torch.full_like(h, torch.inf)
    poles = _gelu_poles()
    farthest = 2 * float(h.abs().max()) + abs(poles[0])  # a pole beyond is not as near as the first one
    nearest = torch.full_like(h, torch.inf)
    for pole in poles[np.abs(poles) <= farthest]:
        nearest = torch.minimum(nearest, torch.hypot(h.abs() - pole.real, torch.full_like(h, pole.imag)))
    return nearest / change.abs()


@cache
def _gelu_poles() -> np.ndarray:
    """Complex s with Re, Im >= 0, the nearest to 0 first: sqrt(2/pi) (s + 0.044715 s³) = i pi (k + 1/2)."""
    poles = []
    for k in range(-_GELU_POLES, _GELU_POLES):
        height = math.pi * (k + 0.5) / math.sqrt(2 / math.pi)
        roots = np.roots([0.044715, 0, 1, -1j * height])
        poles.append(roots[(roots.real > -1e-9) & (roots.imag > 0)])
    found = np.concatenate(poles)
    return found[np.argsort(np.abs(found))]


def _layer_norm(
    h: Tensor, change: Tensor, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Tensor:
    dims = tuple(range(-len(normalized_shape), 0))
    return _of_norm(h - h.mean(dims, keepdim=True), change - change.mean(dims, keepdim=True), dims, eps)


def _rms_norm(
    h: Tensor,
    change: Tensor,
    normalized_shape: Any,
    weight: Any = None,
    eps: float | None = None,
    *,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """``dtype`` is that of the layer's own input, of which h may be a copy in float64.

    Torch's eps is that of the precision it computes in: half precision in float32.
    """
    dims = tuple(range(-len(normalized_shape), 0))
    if eps is None:
        eps = torch.finfo(torch.promote_types(dtype or h.dtype, torch.float32)).eps
    return _of_norm(h, change, dims, eps)


def _of_norm(h: Tensor, change: Tensor, dims: tuple[int, ...], eps: float) -> Tensor:
    """Zeros of mean (h + t h')² + eps, a quadratic with no real zero: the product of the two is |t|²."""
    return ((h.square().mean(dims) + eps) / change.square().mean(dims)).sqrt()


# Function as a model calls it -> kind, and the distance from its input, its change and other arguments
SINGULARITIES: dict[Any, tuple[str, Distance]] = {
    **dict.fromkeys((torch.sigmoid, F.sigmoid, Tensor.sigmoid), ("sigmoid", _at_height(math.pi))),
    **dict.fromkeys((torch.tanh, F.tanh, Tensor.tanh), ("tanh", _at_height(math.pi / 2))),
    F.silu: ("SiLU", _at_height(math.pi)),
    F.softplus: ("softplus", _softplus),
    F.gelu: ("GELU", _gelu),
    **dict.fromkeys((torch.relu, F.relu, F.relu_, torch.relu_, Tensor.relu), ("ReLU", _kink)),
    **dict.fromkeys((F.leaky_relu, F.leaky_relu_), ("LeakyReLU", _kink)),
    F.layer_norm: ("LayerNorm", _layer_norm),
    F.rms_norm: ("RMSNorm", _rms_norm),
}
NOT_ANALYTIC = ("ReLU", "LeakyReLU")
_POLYNOMIAL = (
    nn.Linear, nn.Bilinear, nn.modules.conv._ConvNd, nn.Embedding, nn.Identity, nn.Flatten, nn.Unflatten,
    nn.modules.dropout._DropoutNd, nn.modules.pooling._AvgPoolNd, nn.modules.pooling._AdaptiveAvgPoolNd,
)  # fmt: skip


def has_no_singularity(module: nn.Module) -> bool:
    """Whether a module without others inside is known to be a polynomial in its inputs and parameters."""
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        return not module.training and module.running_mean is not None
    return isinstance(module, _POLYNOMIAL)
