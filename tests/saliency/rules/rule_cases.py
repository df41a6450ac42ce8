"""Small networks for the modified rules: the same mathematics, written in different ways."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Functional(nn.Module):
    """The layers of a Sequential, with its rectifiers called as functions, in every way there is."""

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor) -> Tensor:
        ways = [
            lambda x: F.relu(x),
            lambda x: F.relu(x, inplace=True),
            torch.relu,
            lambda x: x.relu_(),
            lambda x: x.clamp(min=0),
            lambda x: F.threshold(x, 0, 0),
        ]
        for layer in self.layers:
            x = ways.pop()(x) if isinstance(layer, nn.ReLU) else layer(x)
        return x


class Residual(nn.Module):
    """A residual block that adds and rectifies in place, as most code does."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.last_norm = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.norm(self.first(x)))
        y = self.last_norm(self.second(y))
        y += x
        return self.relu(y)


def rectifier_net(*, inplace: bool = False, seed: int = 0) -> nn.Sequential:
    """Convolutions, max and average pooling, batch norm, dense layers, biases; rectifiers are modules."""
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(inplace), nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace), nn.AvgPool2d(2),
        nn.Conv2d(8, 8, 3, groups=8), nn.ReLU(inplace),
        nn.Flatten(), nn.Linear(32, 10), nn.ReLU(inplace), nn.Linear(10, 4),
    )  # fmt: skip
    return randomise_norms(net).double().eval()


def residual_net(*, seed: int = 0) -> nn.Sequential:
    """Without biases, so that excitation keeps its mass; some scales of the norms are negative."""
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        Residual(6), nn.AvgPool2d(2), Residual(6), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(6, 4, bias=False),
    )  # fmt: skip
    return randomise_norms(net, shift=False).double().eval()


def randomise_norms(net: nn.Module, *, shift: bool = True) -> nn.Module:
    """Statistics and scales as after a training, with both signs."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight)
            nn.init.uniform_(module.running_var, 0.5, 2)
            if shift:
                nn.init.normal_(module.bias)
                nn.init.normal_(module.running_mean)
    return net


def images(count: int = 3, size: int = 16, seed: int = 1) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed)).double()


def count_hooks(net: nn.Module) -> int:
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks) + len(module._backward_hooks)
        for module in net.modules()
    )
