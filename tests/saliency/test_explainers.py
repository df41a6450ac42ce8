"""Frozen requests: the same maps as by ``explain``."""

import dataclasses

import pytest
import torch
from saliency_cases import images, network

from workbench.saliency import METHODS, Combination, explain, explainer


def test_an_explainer_gives_maps_of_the_size_of_the_input() -> None:
    model, inputs = network(), images()
    request = explainer("norm_grad", "first", score="probability")
    target = torch.tensor([0, 3, 1])
    found = request(model, inputs, target)
    assert found.shape == (3, 16, 16)
    expected = explain(model, inputs, target, "norm_grad", "first", "probability").maps[0].sized[:, 0]
    assert torch.equal(found, expected)
    assert torch.equal(request(model, inputs), request(model, inputs, model(inputs).argmax(1)))


def test_several_layers_are_combined() -> None:
    model, inputs = network(), images()
    combination = Combination("product", "linear")
    found = explainer("grad_cam", ["first", "second"], combine=combination)(model, inputs, 2)
    expected = explain(model, inputs, 2, "grad_cam", ["first", "second"], combine=combination)
    assert torch.equal(found, expected.maps[-1].sized[:, 0])


def test_a_request_is_frozen_and_checked_when_it_is_made() -> None:
    request = explainer("grad_cam", "first")
    assert request == explainer(METHODS["grad_cam"], ("first",))
    with pytest.raises(dataclasses.FrozenInstanceError):
        request.score = "loss"  # type: ignore[misc]
    with pytest.raises(ValueError, match="did you mean 'grad_cam'"):
        explainer("gradcam", "first")
    with pytest.raises(ValueError, match="2 layers make 2 maps"):
        explainer("grad_cam", ["first", "second"])
    with pytest.raises(ValueError, match="did you mean 'logit'"):
        explainer("grad_cam", "first", "logits")


def test_many_targets_are_refused() -> None:
    with pytest.raises(ValueError, match="2 classes per input"):
        explainer("grad_cam", "first")(network(), images(), [[0, 1]] * 3)
