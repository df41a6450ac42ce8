r"""Maps that cannot depend on the class, found from the gradients themselves.

After the last convolution of a network that ends in an average over space and a linear layer, the gradient
is the same at each location: :math:`g_u = w_y / hw`. Then :math:`\|x_u\| \|g_u\|` is :math:`\|x_u\|` times a
number, whichever class y is, and a map of g alone is constant. Scaling keeps the class:
:math:`x_u \odot w_y` weighs the channels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.saliency.methods import Method

_TOLERANCE = 1e-4  # of what counts as equal, relative to the size of what is compared


def spatially_constant(g: Tensor) -> bool:
    """Whether a gradient (N, C, h, w) is the same at all locations, and not zero, for each of the inputs."""
    first, last = g[0, 0, 0, 0].item(), g[0, 0, -1, -1].item()
    if abs(first - last) > _TOLERANCE * max(
        abs(first), abs(last)
    ):  # a glance, which settles nearly all cases
        return False
    size = g.abs().amax(dim=(1, 2, 3))
    spread = (g - g[:, :, :1, :1]).abs().amax(dim=(1, 2, 3))
    return bool(((spread <= _TOLERANCE * size) & (size > 0)).all())


def blind_reason(method: Method, x: Tensor, g: Tensor, layer: nn.Module | None, raw: Tensor) -> str:
    """Why a map is the same for all classes, where the gradient is constant over space; nothing if it is not.

    The map is made again of random gradients that are constant over space, as those of all classes are. It is
    blind if they give it again up to a factor.

    Parameters
    ----------
    x, g : Tensor (N, C, h, w)
        What the method takes; of g, only the shape matters.
    layer : nn.Module or None
    raw : Tensor (N, T, h, w)
        Its maps.
    """
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(g.shape[:2], generator=generator).to(g)
    other = method.map_of(x, weights[:, :, None, None].expand_as(g), layer)
    likeness = F.cosine_similarity(raw.flatten(2).double(), other.flatten(1)[:, None].double(), dim=2)
    if not (likeness.abs() > 1 - _TOLERANCE**2).all():
        return ""
    if method.extract == "bias":
        return "the gradient is constant over space here, and the map is made of it alone: it is constant too"
    return (
        "the gradient is constant over space here, so that every class gives the same map up to a factor: "
        "it shows the activation"
    )
