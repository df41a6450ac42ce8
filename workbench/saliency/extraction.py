r"""Phase 1: what each location contributes to the weight gradient of a virtual identity layer.

A layer's output x (N, C, h, w) goes through a module that changes nothing; with g = ∂score/∂x, the gradient
of that module's weights is a sum over locations u. Its summands :math:`e_u` are the contributions.
Source: Rebuffi, Fong, Ji, Vedaldi, CVPR 2020, arXiv:2004.02866.
"""

from collections.abc import Callable

from torch import Tensor, nn

from workbench.saliency.aggregation import Contribution, Products, Vectors, Window

REAL = "real"  # the layer of the network itself in place of a virtual one


def bias(x: Tensor, g: Tensor) -> Contribution:
    """Of x + b at b = 0: :math:`e_u = g_u`."""
    return Vectors(g.expand_as(x))  # a mean over space has no places


def scaling(x: Tensor, g: Tensor) -> Contribution:
    r"""Of α ⊙ x at α = 1: :math:`e_u = x_u \odot g_u`."""
    return Vectors(x * g)


def convolution(x: Tensor, g: Tensor, size: int = 1) -> Contribution:
    r"""Of an identity convolution: :math:`e_u = \mathrm{patch}_u(x) \otimes g_u`, C² size² entries."""
    return Products(x, g, _around(size))


def depthwise(x: Tensor, g: Tensor, size: int = 3) -> Contribution:
    r"""Of an identity depthwise convolution: :math:`e_{u,c} = \mathrm{patch}_u(x_c)\, g_{u,c}`."""
    return Products(x, g, _around(size), groups=x.shape[1])


def own_layer(layer: nn.Module | None, entering: Tensor, g: Tensor) -> Contribution:
    """Of the network's own convolution: patches of what enters it times the gradient of its output.

    Raises
    ------
    ValueError
        If the layer is not a Conv2d that pads with zeros.
    """
    if not isinstance(layer, nn.Conv2d) or layer.padding_mode != "zeros":
        kind = "the input" if layer is None else f"a {type(layer).__name__}"
        raise ValueError(f"extract='real' at {kind}: it needs an nn.Conv2d with zero padding; name one")
    down, right = layer.padding if not isinstance(layer.padding, str) else (0, 0)
    padding = (right, right, down, down)
    if layer.padding == "same":  # left and above get the smaller half
        extra = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
        (above, below), (left, right) = ((each // 2, each - each // 2) for each in extra)
        padding = (left, right, above, below)
    (a, b), (c, d), (e, f) = layer.kernel_size, layer.stride, layer.dilation
    return Products(entering, g, Window((a, b), (c, d), padding, (e, f)), layer.groups)


def _around(size: int) -> Window:
    half = size // 2
    return Window((size, size), padding=(half, half, half, half))


EXTRACTIONS: dict[str, Callable[[Tensor, Tensor], Contribution]] = {
    "bias": bias,
    "scaling": scaling,
    "conv1x1": convolution,
    "conv3x3": lambda x, g: convolution(x, g, 3),
    "conv5x5": lambda x, g: convolution(x, g, 5),
    "depthwise3x3": depthwise,
    "depthwise5x5": lambda x, g: depthwise(x, g, 5),
}
