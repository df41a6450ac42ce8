"""The layers' story is what the metrics say of each method and layer by itself."""

import numpy as np
import pytest
import torch
from torch import nn

from workbench.problems.canvases import LocatedObjects
from workbench.saliency import Combination, explain, explainer
from workbench.saliency.evidence import class_sensitivity, pointing_game
from workbench.saliency.experiments import layer_story

METHODS = ["gradient", "grad_cam", "norm_grad"]
LAYERS = ["input", "0", "3"]


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(4, 6, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 4),
    ).eval()


@pytest.fixture(scope="module")
def located() -> LocatedObjects:
    boxes = torch.tensor([[0, 0, 6, 6], [3, 3, 12, 12], [6, 0, 12, 8], [0, 4, 9, 12], [2, 2, 8, 8]])
    inputs = torch.rand(5, 1, 12, 12, generator=torch.Generator().manual_seed(1))
    return LocatedObjects(inputs, torch.tensor([0, 1, 2, 3, 0]), boxes, torch.zeros(5, dtype=torch.bool))


@pytest.mark.parametrize("rows", [2, 32])
def test_each_number_is_that_of_the_metric_alone(model, located, rows):
    story = layer_story(model, located.inputs, METHODS, LAYERS, located=located, rows=rows)
    for method in METHODS:
        for layer in LAYERS:
            function = explainer(method, layer)
            expected = class_sensitivity(model, located.inputs, function).values
            np.testing.assert_allclose(
                story.at("class sensitivity", method, layer).values, expected, atol=2e-5
            )
            maps = function(model, located.inputs, located.targets)
            expected = pointing_game(maps, located.boxes, located.targets, tolerance=0).values
            np.testing.assert_allclose(story.at("pointing game", method, layer).values, expected)


def test_combinations_are_further_layers_and_blindness_is_told(model, located):
    weighted = Combination("sum", "class_sensitivity")
    story = layer_story(
        model,
        located.inputs,
        ["norm_grad"],
        LAYERS,
        located=located,
        combinations=["product", weighted],
        rows=2,
    )
    assert story.layers == (*LAYERS, "product", weighted.name)
    assert story.combinations == ("product", weighted.name)
    assert [bool(story.blind["norm_grad"][layer]) for layer in story.layers] == [
        False,
        False,
        True,
        False,
        False,
    ]
    maps = explain(model, located.inputs, located.targets, "norm_grad", LAYERS, combine=weighted)
    expected = pointing_game(maps.maps[-1].sized[:, 0], located.boxes, located.targets, tolerance=0)
    np.testing.assert_allclose(story.at("pointing game", "norm_grad", weighted.name).values, expected.values)


def test_norm_grad_before_a_mean_and_a_linear_layer_has_a_correlation_of_one(model, located):
    story = layer_story(model, located.inputs, METHODS, ["3"])
    assert story.at("class sensitivity", "norm_grad", "3").mean == pytest.approx(1, abs=1e-6)
    assert story.at("class sensitivity", "gradient", "3").undefined == 5
    assert story.metrics == ("class sensitivity",)


def test_table_frame_picture_and_refusals(model, located):
    story = layer_story(model, located.inputs, METHODS, LAYERS, located=located)
    assert story.table().shape == (3, 3)
    assert story.table().loc["norm_grad", "3"] == pytest.approx(1, abs=1e-6)
    assert len(story.frame()) == 18
    for metric in story.metrics:
        ax = story.plot(metric=metric)
        assert metric in ax.get_ylabel()
        ax.figure.canvas.draw()
    assert "CLASS-BLIND: gradient at 3, norm_grad at 3" in story.summary()
    with pytest.raises(ValueError, match="did you mean 'norm_grad'"):
        story.at("pointing game", "norm_gra", "3")


def test_the_cost_is_counted(model, located):
    story = layer_story(model, located.inputs, METHODS, LAYERS, located=located, rows=2)
    assert (story.forwards, story.backwards) == (pytest.approx(3), pytest.approx(3))
