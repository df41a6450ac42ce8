"""The layers that are looked at when none are named."""

import pytest
import torch
from saliency_cases import hooks, images, network
from torch import nn

from workbench.saliency import explain
from workbench.saliency.layers import default_layers, outer_layers


def test_default_layers_are_the_last_of_each_resolution() -> None:
    model = network()
    assert default_layers(model, images()) == ("relu", "first", "second")
    assert hooks(model) == 0
    found = explain(model, images(4), 0, "gradient")
    assert found.layers == ("relu", "first", "second")
    assert found.forwards == 1.25


def test_the_pass_that_finds_them_builds_no_graph_and_takes_one_input() -> None:
    model = network()
    seen = []
    model.head.register_forward_hook(lambda module, x, y: seen.append((len(y), y.requires_grad)))
    default_layers(model, images())
    assert seen == [(1, False)]


def test_layers_that_run_twice_are_passed_over() -> None:
    shared = nn.ReLU()
    model = nn.Sequential(nn.Conv2d(3, 4, 3), shared, nn.Conv2d(4, 4, 3, stride=2), shared, nn.Flatten())
    assert default_layers(model.double(), images()) == ("0", "2")


def test_a_model_without_images_in_it_is_refused() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 4)).double()
    with pytest.raises(ValueError, match=r"no layer of the model returns \(N, C, h, w\)"):
        default_layers(model, torch.zeros(1, 3, 16, 16, dtype=torch.float64))


def test_a_module_that_is_called_input_is_not_taken_for_the_inputs() -> None:
    model = nn.Sequential()
    model.add_module("input", nn.Conv2d(3, 4, 3, stride=2))
    model.add_module("next", nn.Conv2d(4, 4, 3))
    model.add_module("flat", nn.Flatten())
    assert default_layers(model.double(), images()) == ("next",)


def test_layers_to_choose_from_are_those_outside_of_blocks() -> None:
    model = network()
    assert outer_layers(model, images()) == ("stem", "relu", "first", "second")
    assert hooks(model) == 0


def test_a_plain_sequence_hides_nothing_and_a_usual_layer_is_never_hidden() -> None:
    class Body(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fine, self.coarse = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, stride=2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.coarse(self.fine(x).relu())

    model = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), Body(), nn.Flatten()).double()
    assert default_layers(model, images()) == ("1.fine", "1")
    assert outer_layers(model, images()) == ("0.0", "0.1", "0", "1.fine", "1")
