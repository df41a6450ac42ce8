r"""Phase 1: what each location contributes to the weight gradient of a virtual identity layer.

A layer's output x (N, C, h, w) goes through a convolution that changes nothing; its weight gradient is a sum
over locations u of :math:`e_u = p_u \otimes q_u`, where p is made of patches of x and q of the gradient
g = ∂score/∂x. No :math:`e_u` is ever built: ``Contribution`` holds the two factors.
"""

import dataclasses
from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn


@dataclasses.dataclass(frozen=True)
class Window:
    """The footprint of a convolution, zero-padded; 1 × 1 by default."""

    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)

    @property
    def trivial(self) -> bool:
        """Whether a patch is one location."""
        return self == Window()

    def sum(self, x: Tensor) -> Tensor:
        """Sum of each channel over the patch of each location."""
        if self.trivial:
            return x
        ones = x.new_ones(x.shape[1], 1, *self.kernel)
        return F.conv2d(x, ones, None, self.stride, self.padding, self.dilation, groups=x.shape[1])

    def max(self, x: Tensor) -> Tensor:
        """Largest entry of each channel in the patch of each location; the padding's zeros are entries."""
        if self.trivial:
            return x
        down, right = self.padding
        padded = F.pad(x, (right, right, down, down))
        return F.max_pool2d(padded, self.kernel, self.stride, 0, self.dilation)


@dataclasses.dataclass(frozen=True)
class Contribution:
    r"""The factors of :math:`e_u`: per group of channels, all entries of a patch times all of a gradient.

    Attributes
    ----------
    patches : Tensor (N, C, h', w')
        Its patch at u, channels of one group, is :math:`p_u`.
    gradient : Tensor (N, C', h, w)
        Its channels of the same group at u are :math:`q_u`.
    window : Window
        The patch.
    groups : int
        Channels of different groups are not multiplied.
    """

    patches: Tensor
    gradient: Tensor
    window: Window = Window()
    groups: int = 1


Extraction = Callable[[Tensor, Tensor], Contribution]


def bias(x: Tensor, g: Tensor) -> Contribution:
    """Weight gradient of x + b at b = 0: :math:`e_u = g_u`."""
    return Contribution(g, g.new_ones(()).expand(1, 1, 1, 1))


def scaling(x: Tensor, g: Tensor) -> Contribution:
    r"""Weight gradient of α ⊙ x at α = 1: :math:`e_u = x_u \odot g_u`."""
    return Contribution(x * g, g.new_ones(()).expand(1, 1, 1, 1))


def convolution(x: Tensor, g: Tensor, size: int = 1) -> Contribution:
    r"""Weight gradient of an identity convolution: :math:`e_u = \mathrm{patch}_u(x) \otimes g_u`."""
    return Contribution(x, g, _same(size))


def depthwise(x: Tensor, g: Tensor, size: int = 3) -> Contribution:
    r"""Weight gradient of an identity depthwise convolution: :math:`e_{u,c} = \mathrm{patch}_u(x_c)\, g_{u,c}`."""
    return Contribution(x, g, _same(size), groups=x.shape[1])


def own_layer(layer: nn.Module, entering: Tensor, g: Tensor) -> Contribution:
    """Weight gradient of the network's own convolution, of its inputs and the gradient of its outputs.

    Raises
    ------
    ValueError
        If the layer is not a Conv2d with zero padding.
    """
    if not isinstance(layer, nn.Conv2d) or layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        raise ValueError(
            f"extract='real' needs an nn.Conv2d with zero padding given in numbers, not a {type(layer).__name__}: "
            "name such a layer, or extract with a virtual one"
        )
    pairs = (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    return Contribution(entering, g, Window(*((int(a), int(b)) for a, b in pairs)), layer.groups)


def _same(size: int) -> Window:
    return Window((size, size), (1, 1), (size // 2, size // 2))


EXTRACTIONS: dict[str, Extraction] = {
    "bias": bias,
    "scaling": scaling,
    "conv1x1": convolution,
    "conv3x3": lambda x, g: convolution(x, g, 3),
    "conv5x5": lambda x, g: convolution(x, g, 5),
    "depthwise3x3": depthwise,
    "depthwise5x5": lambda x, g: depthwise(x, g, 5),
}
REAL = "real"
