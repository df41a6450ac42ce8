"""Averaged gradients as ``explain`` takes them."""

from typing import Any

import pytest
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
    assert maps.forwards == 1 + (52 + 54) + (51 + 52)
    assert maps.backwards == 2 * 4 * 50


@pytest.mark.parametrize("layer", ["input", "1"])
@pytest.mark.parametrize("method", ["integrated_gradients", "smooth_grad"])
def test_the_cost_is_that_of_a_counter_in_the_model(method: str, layer: str) -> None:
    net, inputs, seen = network(), images(), []
    net.register_forward_hook(lambda module, arguments, output: seen.append(len(output)))
    found = explain(net, inputs, [[0, 1], [2, 0]], method, layer)
    assert found.forwards == sum(seen) / len(inputs)
    assert found.backwards == 2 * 50


def test_maps_say_how_good_the_average_is() -> None:
    found = explain(network(), images(), 0, ["integrated_gradients", "smooth_grad"], "input")
    path = integrated_gradients(network(), images(), 0)
    assert f"completeness gap at most {path.gap.abs().max().item():.3g}" in found.maps[0].note
    assert "50 noisy copies" in found.maps[1].note


def test_an_average_that_was_interrupted_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def few(*arguments: Any, **options: Any) -> Any:
        return smooth_gradients(*arguments, **options, samples=3).replace(interrupted=True)

    monkeypatch.setattr("workbench.saliency.averages.smooth_gradients", few)
    found = explain(network(), images(), 0, "smooth_grad", "input")
    assert "3 noisy copies" in found.summary()
    assert "INTERRUPTED" in found.summary()
