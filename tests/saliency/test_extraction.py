"""Contributions against modules that are really put into a network."""

import pytest
import torch
from saliency_cases import images, network
from torch import Tensor, nn

from workbench.saliency import explain
from workbench.saliency.aggregation import Products, Vectors
from workbench.saliency.capture import capture
from workbench.saliency.extraction import EXTRACTIONS


class Scale(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight[:, None, None]


class Shift(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.weight[:, None, None]


def identity(channels: int, size: int, groups: int) -> nn.Conv2d:
    layer = nn.Conv2d(channels, channels, size, padding=size // 2, bias=False, groups=groups)
    nn.init.dirac_(layer.weight, groups)
    return layer.double()


MODULES = {
    "bias": Shift(8),
    "scaling": Scale(8),
    "conv1x1": identity(8, 1, 1),
    "conv3x3": identity(8, 3, 1),
    "conv5x5": identity(8, 5, 1),
    "depthwise3x3": identity(8, 3, 8),
    "depthwise5x5": identity(8, 5, 8),
}


@pytest.mark.parametrize("extract", EXTRACTIONS)
def test_contributions_add_up_to_the_weight_gradient_of_an_inserted_module(extract: str) -> None:
    model, inputs = network(), images(1)
    module = MODULES[extract]
    parts = list(model)
    longer = nn.Sequential(*parts[:3], module, *parts[3:])  # after "first"
    gradient = torch.autograd.grad(longer(inputs)[0, 2], next(module.parameters()))[0]

    captured = capture(model, inputs, ["first"])
    x = captured.activations["first"]
    g = torch.autograd.grad(captured.logits[0, 2], x)[0]
    contribution = EXTRACTIONS[extract](x.detach(), g)
    torch.testing.assert_close(_added_up(contribution), gradient, rtol=1e-10, atol=1e-10)
    total = explain(model, inputs, 2, [(extract, "sum")], "first").maps[0].raw.sum()
    torch.testing.assert_close(total, gradient.sum(), rtol=1e-10, atol=1e-10)


def _added_up(contribution: Vectors | Products) -> Tensor:
    """Sum over the locations, in the shape of the weights."""
    if isinstance(contribution, Vectors):
        return contribution.entries.sum(dim=(0, 2, 3))
    size = contribution.window.kernel[0]
    x, g = contribution.patched[0], contribution.gradient[0]
    patches = nn.functional.unfold(x[None], size, padding=size // 2).reshape(x.shape[0], size * size, -1)
    if contribution.groups == 1:
        return torch.einsum("cku,du->dck", patches, g.flatten(1)).unflatten(2, (size, size))
    return torch.einsum("cku,cu->ck", patches, g.flatten(1)).reshape(-1, 1, size, size)
