"""Averaged gradients as ``explain`` takes them."""

import torch
from torch import Tensor, nn

from workbench.saliency import explain, integrated_gradients, smooth_gradients


def network() -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    return net.double().eval()


def images() -> Tensor:
    return torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1)).double()


def test_maps_are_those_of_the_functions_with_their_usual_options() -> None:
    net, inputs, targets = network(), images(), [[0, 1], [2, 0]]
    maps = explain(net, inputs, targets, ["integrated_gradients", "smooth_grad"], ["input", "1"])
    for layer in ("input", "1"):
        path = integrated_gradients(net, inputs, targets, layer=layer)
        raw = maps.select("integrated_gradients", layer).raw
        torch.testing.assert_close(raw, path.attributions.sum(2))
        noisy = smooth_gradients(net, inputs, targets, layer=layer)
        torch.testing.assert_close(maps.select("smooth_grad", layer).raw, noisy.map)
    assert maps.forwards == 1 + 4 * 50
    assert maps.backwards == 2 * 4 * 50
