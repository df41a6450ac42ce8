r"""Phase 2: one number per location of its contribution :math:`e_u`.

A contribution is either a vector of C entries, or an outer product :math:`p_u \otimes q_u` that is never
built: all aggregates of a product follow from a few numbers of p and of q. The forms are derived here.
"""

import dataclasses
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

AGGREGATIONS = ("norm", "positive_norm", "sum", "positive_sum", "max", "abs_max")


class Contribution(Protocol):
    """What every location contributes; each aggregate is a map (N, h, w)."""

    def norm(self) -> Tensor:
        r""":math:`\|e_u\|`, Frobenius."""

    def positive_norm(self) -> Tensor:
        r""":math:`\|\max(e_u, 0)\|`."""

    def sum(self) -> Tensor:
        """Sum of all entries, which has a sign."""

    def max(self) -> Tensor:
        """Largest entry."""

    def abs_max(self) -> Tensor:
        """Largest size of an entry."""


def aggregate(contribution: Contribution, name: str) -> Tensor:
    """Map (N, h, w) by one of ``AGGREGATIONS``; ``"positive_sum"`` is max(sum, 0)."""
    if name == "positive_sum":
        return contribution.sum().relu()
    found: Tensor = getattr(contribution, name)()
    return found


def _square(values: Tensor) -> Tensor:
    return values * values  # a third faster than square


@dataclasses.dataclass(frozen=True)
class Vectors:
    """Contributions that are vectors: ``entries`` (N, C, h, w) at u."""

    entries: Tensor

    def norm(self) -> Tensor:
        return _square(self.entries).sum(1).sqrt_()  # several times as fast as vector_norm over channels

    def positive_norm(self) -> Tensor:
        return _square(self.entries.relu()).sum(1).sqrt_()

    def sum(self) -> Tensor:
        return self.entries.sum(1)

    def max(self) -> Tensor:
        return self.entries.amax(1)

    def abs_max(self) -> Tensor:
        return self.entries.abs().amax(1)


@dataclasses.dataclass(frozen=True)
class Window:
    """The zero-padded footprint of a convolution; 1 × 1 by default.

    Attributes
    ----------
    kernel, stride, dilation : (int, int)
    padding : (int, int, int, int)
        Left, right, above, below.
    """

    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)

    def sum(self, x: Tensor) -> Tensor:
        """Sum of each channel over the patch of each location."""
        if self == _ONE_BY_ONE:
            return x
        ones = x.new_ones(x.shape[1], 1, *self.kernel)
        return F.conv2d(self._pad(x), ones, None, self.stride, 0, self.dilation, groups=x.shape[1])

    def max(self, x: Tensor) -> Tensor:
        """Largest entry of each channel in the patch of each location; the padding's zeros are entries."""
        if self == _ONE_BY_ONE:
            return x
        return F.max_pool2d(self._pad(x), self.kernel, self.stride, 0, self.dilation)

    def _pad(self, x: Tensor) -> Tensor:
        return F.pad(x, self.padding) if any(self.padding) else x


_ONE_BY_ONE = Window()


@dataclasses.dataclass(frozen=True)
class Products:
    r"""Contributions :math:`e_u = p_u \otimes q_u`, one for each group of channels.

    Attributes
    ----------
    patched : Tensor (N, C, h', w')
        Its patch at u, in the channels of a group, is :math:`p_u`.
    gradient : Tensor (N, C', h, w)
        Its channels of the group at u are :math:`q_u`.
    window : Window
        The patch.
    groups : int
        Channels of different groups are not multiplied.
    """

    patched: Tensor
    gradient: Tensor
    window: Window = _ONE_BY_ONE
    groups: int = 1

    def norm(self) -> Tensor:
        # ‖p ⊗ q‖² = ‖p‖² ‖q‖², and groups add. Roots before the product: gradients are small.
        p, q = self._window_sum(_square(self.patched)), self._sum(_square(self.gradient))
        if self.groups == 1:
            return (p.sqrt_() * q.sqrt_())[:, 0]
        return (p * q).sum(1).sqrt_()

    def positive_norm(self) -> Tensor:
        # Positive entries are products of two positive or of two negative numbers.
        p, q = self.patched, self.gradient
        positive = self._window_sum(_square(p.relu())) * self._sum(_square(q.relu()))
        negative = self._window_sum(_square(p.clamp(max=0))) * self._sum(_square(q.clamp(max=0)))
        return (positive + negative).sum(1).sqrt_()

    def sum(self) -> Tensor:
        # Σ p ⊗ q = (Σ p)(Σ q).
        return (self._window_sum(self.patched) * self._sum(self.gradient)).sum(1)

    def max(self) -> Tensor:
        # The largest product is one of an extreme entry of p and an extreme entry of q.
        high_p, low_p = self._window_max(self.patched), -self._window_max(-self.patched)
        high_q, low_q = self._max(self.gradient), -self._max(-self.gradient)
        products = (high_p * high_q, low_p * low_q, high_p * low_q, low_p * high_q)
        return torch.stack(products).amax(dim=(0, 2))

    def abs_max(self) -> Tensor:
        # ‖p ⊗ q‖_∞ = ‖p‖_∞ ‖q‖_∞.
        return (self._window_max(self.patched.abs()) * self._max(self.gradient.abs())).amax(1)

    def _sum(self, values: Tensor) -> Tensor:
        """Sum over the channels of each group: (N, groups, h, w)."""
        if self.groups == 1:
            return values.sum(1, keepdim=True)
        return values if self.groups == values.shape[1] else values.unflatten(1, (self.groups, -1)).sum(2)

    def _max(self, values: Tensor) -> Tensor:
        return values if self.groups == values.shape[1] else values.unflatten(1, (self.groups, -1)).amax(2)

    def _window_sum(self, values: Tensor) -> Tensor:
        return self.window.sum(self._sum(values))

    def _window_max(self, values: Tensor) -> Tensor:
        return self.window.max(self._max(values))
