"""The gain of meta-saliency is the difference of what is measured on its maps and on the plain ones."""

import numpy as np
import pytest
import torch
from torch import nn

from workbench.problems.canvases import LocatedObjects
from workbench.saliency import MetaExplainer, explainer
from workbench.saliency.evidence import class_sensitivity, pointing_game
from workbench.saliency.experiments import meta_gain


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    ).eval()


@pytest.fixture(scope="module")
def located() -> LocatedObjects:
    inputs = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    boxes = torch.tensor([[0, 0, 4, 4], [3, 3, 8, 8], [4, 0, 8, 8]])
    return LocatedObjects(inputs, torch.tensor([0, 1, 2]), boxes, torch.zeros(3, dtype=torch.bool))


def test_each_number_is_that_of_the_metric_alone(model, located):
    found = meta_gain(model, located.inputs, ["input", "1"], steps=[0.5], located=located, rows=2)
    assert found.steps == (0, 0.5)
    for place, layer in enumerate(["input", "1"]):
        for step, function in enumerate(
            (explainer("norm_grad", layer), MetaExplainer("norm_grad", layer, 0.5))
        ):
            expected = class_sensitivity(model, located.inputs, function).values
            measured = found.evidence["class sensitivity"][place][step].values
            np.testing.assert_allclose(measured, expected, atol=2e-5)
            maps = function(model, located.inputs, located.targets)
            hits = pointing_game(maps, located.boxes, located.targets, tolerance=0).values
            np.testing.assert_allclose(found.evidence["pointing game"][place][step].values, hits)


def test_a_step_makes_a_blind_map_depend_on_the_class(model, located):
    found = meta_gain(model, located.inputs, ["1"], steps=[0.5])
    plain, after = found.evidence["class sensitivity"][0]
    assert plain.mean == pytest.approx(1, abs=1e-6)
    assert after.mean < 1 - 1e-3
    np.testing.assert_allclose(found.changes[0][1].values, after.values - plain.values)
    assert set(found.frame()["metric"]) == {"class sensitivity", "change of class sensitivity"}
    found.plot().figure.canvas.draw()
    assert "1, ε = 0.5" in found.summary()


def test_nothing_to_measure_is_refused(model, located):
    with pytest.raises(ValueError, match="is empty"):
        meta_gain(model, located.inputs, [])
