"""The block of the convolutional networks with BatchNorm."""

from collections import OrderedDict

from torch import nn


def block(channels: int, width: int, stride: int = 1) -> nn.Module:
    """A 3 × 3 convolution without a bias, BatchNorm and a rectifier."""
    return nn.Sequential(
        OrderedDict(
            convolution=nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False),
            norm=nn.BatchNorm2d(width),
            activation=nn.ReLU(),
        )
    )
