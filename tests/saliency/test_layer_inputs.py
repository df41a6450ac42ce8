"""A model as a function of what a layer returns."""

import pytest
import torch
from torch import nn

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
