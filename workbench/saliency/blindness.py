r"""Maps that cannot depend on the class, found from the gradients themselves.

After the last convolution of a network that ends in an average over space and a linear layer, the gradient
is the same at each location: :math:`g_u = w_y / hw`. Then :math:`\|x_u\| \|g_u\|` is :math:`\|x_u\|` times a
number, whichever class y is, and a map of g alone is constant. Scaling keeps the class:
:math:`x_u \odot w_y` weighs the channels.
"""

from operator import sub

import torch
from torch import Tensor

from workbench.saliency.methods import Method

_TOLERANCE = 1e-4  # of what counts as equal, relative to the size of what is compared


def spatially_constant(g: Tensor) -> bool:
    """Whether a gradient (N, C, h, w) is the same at all locations for each of the inputs."""
    # Two corners settle nearly all cases; as lists, since beside a small image a call is slow.
    first, last = g[0, :, 0, 0].tolist(), g[0, :, -1, -1].tolist()
    if max(map(abs, map(sub, first, last))) > _TOLERANCE * max(map(abs, first)):
        return False
    return all(_all_constant(several) for several in (g[:1], g[1:]) if len(several))


def _all_constant(g: Tensor) -> bool:
    low, high = g.amin(dim=(2, 3)), g.amax(dim=(2, 3))  # several times as fast as aminmax
    size = torch.maximum(high, -low).amax(dim=1)
    return bool(((high - low).amax(dim=1) <= _TOLERANCE * size).all())


def alike_maps(raw: Tensor, others: Tensor) -> Tensor:
    """Which methods' maps are those of other gradients up to a factor: (M,) of bool.

    Parameters
    ----------
    raw : Tensor (M, N, T, h, w)
        Maps of M methods, where the gradient is constant over space. Those that are 0 everywhere, as for a
        saturated score, say nothing against it.
    others : Tensor (M, N, h, w)
        Maps of random gradients that are constant over space, as those of all classes are.
    """
    maps, others = raw.flatten(3).double(), others.flatten(2)[:, :, None].double()
    products = (maps * others).sum(dim=3)
    size = (maps * maps).sum(dim=3)
    cosine = 1 - _TOLERANCE**2
    parallel = products * products > cosine**2 * size * (others * others).sum(dim=3)
    return (parallel | (size == 0)).all(dim=2).all(dim=1)


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
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(g.shape[:2], generator=generator).to(g)
    return weights[:, :, None, None].expand_as(g)
