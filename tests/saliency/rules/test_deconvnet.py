"""Deconvnet against captum, and by hand."""

import captum.attr
import pytest
import torch
from rule_cases import Functional, images, rectifier_net
from torch import Tensor, nn

from workbench.saliency.rules import rule_gradients

TARGETS = [[0, 3], [1, 2], [2, 0]]


def gradients(net: nn.Module, inputs: Tensor, target: object, layer: str = "input") -> Tensor:
    return rule_gradients(net, inputs, target, [layer], ["deconvnet"])["deconvnet"][layer][1]


def test_it_is_captum_s_at_the_input() -> None:
    net, inputs = rectifier_net(), images()
    expected = captum.attr.Deconvolution(net).attribute(inputs, target=[3, 2, 0])
    torch.testing.assert_close(gradients(net, inputs, TARGETS)[:, 1], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("layer", [2, 5, 8, 11])
def test_it_is_captum_s_at_a_layer_which_is_the_input_of_the_rest(layer: int) -> None:
    net, inputs = rectifier_net(), images()
    activation = net[: layer + 1](inputs).detach()
    expected = captum.attr.Deconvolution(net[layer + 1 :]).attribute(activation, target=[0, 1, 2])
    found = gradients(net, inputs, TARGETS, str(layer))
    torch.testing.assert_close(found[:, 0], expected, rtol=0, atol=1e-12)


def test_functions_and_modules_in_place_are_rectifiers_as_modules_are() -> None:
    net, inputs = rectifier_net(), images()
    expected = gradients(net, inputs, TARGETS)
    torch.testing.assert_close(gradients(Functional(net), inputs, TARGETS), expected)
    torch.testing.assert_close(gradients(rectifier_net(inplace=True), inputs, TARGETS), expected)


@pytest.mark.parametrize("rectifier", [nn.ReLU(), nn.ReLU6()])
def test_the_input_of_a_rectifier_does_not_matter(rectifier: nn.Module) -> None:
    net = nn.Sequential(rectifier, nn.Linear(4, 1, bias=False))
    net[1].weight.data = torch.tensor([[2.0, -1.0, 4.0, 3.0]])
    found = gradients(net, torch.tensor([[1.0, 1.0, -1.0, 7.0]]), 0)
    assert found.tolist() == [[[2.0, 0.0, 4.0, 3.0]]]
