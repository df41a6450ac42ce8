"""Layers in the order of the forward pass, and fresh weights that leave everything else alone."""

import torch
from torch import Tensor, nn

from workbench.saliency.evidence.reinitialisation import reinitialise, weighted_layers


class Crossed(nn.Module):
    """Layers registered in another order than they are called in; an attention and a bare parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(4, 2)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.first = nn.Linear(3, 4)
        self.shift = nn.Parameter(torch.arange(4.0))
        self.unused = nn.ReLU()

    def forward(self, inputs: Tensor) -> Tensor:
        x = (self.first(inputs) + self.shift)[:, None]
        return self.last(self.attention(x, x, x)[0][:, 0])


def test_layers_come_in_the_order_of_their_calls() -> None:
    model = Crossed().train()
    names = weighted_layers(model, torch.randn(2, 3))
    assert names == ["", "first", "attention", "attention.out_proj", "last"]
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_a_layer_is_drawn_as_a_new_one_is() -> None:
    layer = nn.Linear(5, 3)
    with torch.random.fork_rng():
        torch.manual_seed(11)
        expected = nn.Linear(5, 3)
    state = torch.random.get_rng_state()
    reinitialise(layer, 11)
    assert torch.equal(layer.weight, expected.weight)
    assert torch.equal(layer.bias, expected.bias)
    assert torch.equal(torch.random.get_rng_state(), state)
    again = layer.weight.clone()
    reinitialise(layer, 12)
    assert not torch.equal(layer.weight, again)


def test_a_normalisation_forgets_its_statistics() -> None:
    norm = nn.BatchNorm2d(3)
    norm(5 + torch.randn(4, 3, 2, 2))
    nn.init.normal_(norm.weight)
    reinitialise(norm, 0)
    assert norm.running_mean is not None
    assert norm.running_mean.tolist() == [0, 0, 0]
    assert norm.weight.tolist() == [1, 1, 1]


def test_bare_parameters_are_shuffled_and_children_stay() -> None:
    model = Crossed()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    reinitialise(model, 3)
    after = model.state_dict()
    assert sorted(after["shift"].tolist()) == [0, 1, 2, 3]
    assert not torch.equal(after["shift"], before["shift"])
    assert all(torch.equal(after[name], before[name]) for name in before if name != "shift")


def test_frozen_parameters_and_half_precision_are_drawn_too() -> None:
    layer = nn.Linear(5, 3).half().requires_grad_(False)
    before = layer.weight.clone()
    reinitialise(layer, 0)
    assert not torch.equal(layer.weight, before)
    assert layer.weight.dtype == torch.float16
    assert not layer.weight.requires_grad
