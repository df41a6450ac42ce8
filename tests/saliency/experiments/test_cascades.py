"""A cascade of many maps at once is the cascade of each; a map of the activation alone survives."""

import numpy as np
import pytest
import torch
from torch import nn

from workbench.saliency import explainer
from workbench.saliency.evidence import cascading_randomisation
from workbench.saliency.experiments import cascade

METHODS = ["gradient", "norm_grad"]


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(4, 6, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 4),
    ).eval()


@pytest.fixture(scope="module")
def inputs() -> torch.Tensor:
    return torch.rand(4, 1, 10, 10, generator=torch.Generator().manual_seed(1))


def test_it_is_the_randomisation_of_each_map_function(model, inputs):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = cascade(model, inputs, METHODS, ["input", "0"], stages=3, seed=5)
    assert found.depths == (1, 2, 3)
    assert found.modules == ("6", "2", "0")
    for method in METHODS:
        for layer in ("input", "0"):
            alone = cascading_randomisation(
                model, inputs, None, explainer(method, layer), similarities=["spearman"], seed=5
            )
            np.testing.assert_allclose(
                found.evidence[method][layer].curves, alone.evidence["spearman"].curves, atol=1e-6
            )
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_fewer_stages_are_some_of_them(model, inputs):
    found = cascade(model, inputs, METHODS, ["0"], stages=2)
    every = cascade(model, inputs, METHODS, ["0"], stages=9)
    assert found.depths == (1, 3)
    assert found.of == 3
    np.testing.assert_array_equal(
        found.evidence["gradient"]["0"].curves, every.evidence["gradient"]["0"].curves[:, [0, 2]]
    )


def test_a_random_classifier_leaves_the_blind_map_as_it_was(model, inputs):
    found = cascade(model, inputs, METHODS, ["3"], stages=2)
    assert found.evidence["norm_grad"]["3"].curves[:, 0] == pytest.approx(1)
    assert found.evidence["gradient"]["3"].n == 0
    assert len(found.frame()) == 4
    labels = [text.get_text() for text in found.plot().get_legend().get_texts()]
    assert labels == ["gradient: constant map", "norm_grad"]
    assert "norm_grad at 3: 1 after 1" in found.summary()


def test_what_is_unknown_is_refused(model, inputs):
    with pytest.raises(ValueError, match="similarity='spearmann'"):
        cascade(model, inputs, METHODS, ["0"], similarity="spearmann")
    with pytest.raises(ValueError, match="no weights"):
        cascade(nn.Flatten(), torch.rand(2, 1, 2, 2), METHODS)
