r"""Maps that cannot depend on the class, found from the gradients themselves.

After the last convolution of a network that ends in an average over space and a linear layer, the gradient
is the same at each location: :math:`g_u = w_y / hw`. Then :math:`\|x_u\| \|g_u\|` is :math:`\|x_u\|` times a
number, whichever class y is, and a map of g alone is constant. Scaling keeps the class:
:math:`x_u \odot w_y` weighs the channels.
"""

import functools

import torch
from torch import Tensor

from workbench.saliency.methods import Method

_TOLERANCE = 1e-4  # of what counts as equal, relative to the size of what is compared


def spatially_constant(g: Tensor) -> bool:
    """Whether a gradient (N, C, h, w) is the same at all locations for each of the inputs."""
    # Two corners settle nearly all cases, often by one channel; as lists, since beside a small image a call
    # is slow.
    first, last = g[0, :, 0, 0].tolist(), g[0, :, -1, -1].tolist()
    bound = _TOLERANCE * max(map(abs, first))
    if any(abs(a - b) > bound for a, b in zip(first, last, strict=True)):
        return False
    row = g[:1]
    exactly = torch.equal(row, row[:, :, :1, :1].expand_as(row))  # as an average returns it
    return (exactly or _all_constant(row)) and (len(g) == 1 or _all_constant(g[1:]))


def _all_constant(g: Tensor) -> bool:
    low, high = g.amin(dim=(2, 3)), g.amax(dim=(2, 3))  # several times as fast as aminmax
    size = torch.maximum(high, -low).amax(dim=1)
    return bool(((high - low).amax(dim=1) <= _TOLERANCE * size).all())


def alike_maps(raw: Tensor, others: Tensor) -> list[bool]:
    """Which of M methods' maps are those of other gradients up to a factor.

    Parameters
    ----------
    raw : Tensor (M, N, T, h, w)
        Maps of M methods, where the gradient is constant over space. Those that are 0 everywhere, as for a
        saturated score, say nothing against it.
    others : Tensor (M, N, h, w)
        Maps of random gradients that are constant over space, as those of all classes are.
    """
    maps = torch.cat([raw, others.unsqueeze(2)], dim=2).flatten(3).double()
    products = (maps[:, :, :-1] * maps[:, :, -1:]).sum(dim=3).tolist()
    squares = (maps * maps).sum(dim=3).tolist()
    return [all(map(_parallel, *each)) for each in zip(products, squares, strict=True)]


def _parallel(products: list[float], squares: list[float]) -> bool:
    """Whether vectors of no size, or of the direction of the last one, have these products with that one."""
    *sizes, other = squares
    least = (1 - _TOLERANCE**2) ** 2 * other
    return all(p * p > least * size or size == 0 for p, size in zip(products, sizes, strict=True))


def same_maps(raw: Tensor, turned: Tensor) -> Tensor:
    """Which methods' maps (M, ...) the opposite gradient makes again: (M,) of bool; not those that are 0."""
    raw, turned = raw.flatten(1), turned.flatten(1)
    size = raw.abs().amax(dim=1)
    return ((raw - turned).abs().amax(dim=1) <= _TOLERANCE * size) & (size > 0)


OPPOSITE = (
    "the probabilities of two classes add up to 1, so their gradients are opposite, and both give this map: "
    "use score='logit'"
)


def blind_reason(method: Method) -> str:
    """Why the maps of a method are the same for all classes where the gradient is constant over space."""
    if method.extract == "bias":
        return "the gradient is constant over space here, and the map is made of it alone: it is constant too"
    return (
        "the gradient is constant over space here, so that every class gives the same map up to a factor: "
        "it shows the activation"
    )


def flat_gradient(g: Tensor) -> Tensor:
    """A random gradient like g that is constant over space, another one for each input."""
    return _weights(*g.shape[:2]).to(g)[:, :, None, None].expand_as(g)


@functools.lru_cache(maxsize=4)
def _weights(count: int, channels: int) -> Tensor:
    return torch.randn(count, channels, generator=torch.Generator().manual_seed(0))
