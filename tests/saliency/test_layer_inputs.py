"""A model as a function of what a layer returns."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from workbench.saliency import explain, integrated_gradients, meta_saliency, smooth_gradients
from workbench.saliency.layer_inputs import gradients_at, layer_values, logits_of, scores_from


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.ReLU(inplace=True), nn.Linear(5, 3)).double().eval()


X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)).double()
TARGETS = torch.tensor([[0, 1], [1, 2], [2, 0]] * 2)


@pytest.mark.parametrize("layer", ["input", "0", "1", "2"])
def test_scores_and_gradients_are_those_of_the_rest_of_the_model(layer: str) -> None:
    net = network()
    start = 0 if layer == "input" else int(layer) + 1
    values = layer_values(net, X, layer)
    torch.testing.assert_close(values, net[:start](X).detach())
    moved = (values + 0.1).requires_grad_()
    scores = scores_from(net, X, layer, moved, TARGETS, "logit")
    torch.testing.assert_close(scores, net[start:](moved.clone()).gather(1, TARGETS))
    expected = torch.autograd.grad(net[start:](moved.clone())[range(6), TARGETS[:, 1]].sum(), moved)[0]
    torch.testing.assert_close(gradients_at(scores, moved)[:, 1], expected)


def test_no_hook_stays_when_the_model_raises() -> None:
    net = network()
    with pytest.raises(RuntimeError):
        scores_from(net, X, "1", torch.ones(6, 7).double(), TARGETS, "logit")
    assert len(net[1]._forward_hooks) == 0


def test_logits_come_in_parts() -> None:
    net = network()
    found = logits_of(net, X, 4)
    torch.testing.assert_close(found, net(X))
    assert not found.requires_grad


class Doubling(nn.Module):
    """Averages the logits of an input and of its mirror image, which go through the layer as one batch."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(torch.cat([x, x.flip(3)])).mean((2, 3))).unflatten(0, (2, -1)).mean(0)


FUNCTIONS = (explain, integrated_gradients, smooth_gradients, meta_saliency)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_layer_with_other_rows_than_the_inputs_is_refused(function: Any) -> None:
    name = "layers" if function is explain else "layer"
    with pytest.raises(ValueError, match=r"layer 'body' returns \d+ rows for \d+ inputs"):
        function(Doubling().eval(), torch.rand(3, 3, 8, 8), 0, **{name: "body"})


@pytest.mark.parametrize("function", FUNCTIONS)
def test_inputs_and_outputs_that_are_none_are_refused_in_one_line(function: Any) -> None:
    model = Doubling().eval()
    with pytest.raises(TypeError, match="inputs is a ndarray: pass a tensor"):
        function(model, torch.rand(1, 3, 8, 8).numpy(), 0)
    with pytest.raises(ValueError, match="inputs is empty"):
        function(model, torch.rand(0, 3, 8, 8), 0)
    model.register_forward_hook(lambda module, arguments, output: {"logits": output})
    with pytest.raises(ValueError, match="the model returns dict, not logits"):
        function(model, torch.rand(1, 3, 8, 8), 0)


@pytest.mark.parametrize("function", [integrated_gradients, smooth_gradients])
def test_whole_numbers_have_no_path_and_take_no_noise(function: Any) -> None:
    model = nn.Sequential(nn.Embedding(7, 4), nn.Flatten(), nn.Linear(12, 3))
    with pytest.raises(ValueError, match=r"inputs are torch.int64"):
        function(model, torch.tensor([[1, 2, 3]]), 0)


def test_values_that_the_score_does_not_depend_on_are_refused() -> None:
    values = torch.ones(2, 3, requires_grad=True)
    for scores in (torch.ones(2, 1), torch.ones(2, 1, requires_grad=True) * 2):
        with pytest.raises(ValueError, match="the score does not depend on the layer"):
            gradients_at(scores, values)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_inputs_of_inference_mode_are_taken_in_it_and_out_of_it(function: Any) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 3)).eval()
    name = "layers" if function is explain else "layer"
    with torch.inference_mode():
        inputs = torch.rand(2, 3, 8, 8)
        within = function(model, inputs, 0, **{name: "0"})
    assert within.summary()
    assert function(model, inputs, 0, **{name: "0"}).summary()
    assert function is not explain or not within.inputs.is_inference()
