import pytest
import torch
from torch import nn

import workbench as wb
from workbench.layers import DoRAConv2d, DoRALinear, apply_dora, merge_dora


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(),
        nn.Linear(16, 8), nn.Linear(8, 3),
    ).eval()  # fmt: skip


X = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(1))


def test_matching_layers_are_replaced_and_all_else_is_frozen():
    model = network()
    before = model(X)
    assert apply_dora(model, ["0", "4"], rank=2, alpha=4) == ("0", "4")
    assert isinstance(model[0], DoRAConv2d)
    assert isinstance(model[4], DoRALinear)
    assert type(model[5]) is nn.Linear
    assert torch.allclose(model(X), before, atol=1e-6)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {f"{i}.{name}" for i in (0, 4) for name in ("lora_a", "lora_b", "magnitude")}
    assert not model[0].training  # as the layer was


def test_options_reach_the_layers():
    model = network()
    apply_dora(model, "*", 2, dropout=0.25, train_magnitude=False, constant_norm=False)
    for i in (0, 4, 5):
        assert model[i].dropout.p == 0.25
        assert not model[i].constant_norm
        assert not model[i].magnitude.requires_grad


def test_a_layer_in_two_places_stays_one_layer():
    shared = nn.Linear(3, 3)
    model = nn.ModuleDict({"a": shared, "b": nn.Sequential(shared)})
    assert apply_dora(model, "a", 1) == ("a",)
    assert model["a"].base is shared
    model = nn.ModuleDict({"a": shared, "b": nn.Sequential(shared)})
    assert apply_dora(model, "*", 1) == ("a", "b.0")
    assert model["a"] is model["b"][0]
    assert merge_dora(model) == ("a", "b.0")
    assert model["a"] is model["b"][0]


def test_an_update_is_trained_merged_and_gone():
    model = network()
    apply_dora(model, "*", 2)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1)
    first = model(X).square().sum()
    first.backward()
    optimizer.step()
    trained = model(X)
    assert trained.square().sum() < first
    assert merge_dora(model) == ("0", "4", "5")
    assert [type(each) for each in model] == [type(each) for each in network()]
    assert torch.allclose(model(X), trained, atol=1e-6)
    assert model[4].weight.requires_grad


def test_a_problem_in_the_parameters_of_an_update():
    """A Problem takes what is trained; its gradient is that of the model."""
    model = network()
    apply_dora(model, "4", 2)
    y = torch.tensor([0, 2])
    problem = wb.Problem(model, nn.CrossEntropyLoss(), (X, y))
    assert problem.num_parameters == 2 * 16 + 8 * 2 + 8
    nn.CrossEntropyLoss()(model(X), y).backward()
    grads = torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad])
    assert torch.allclose(problem.gradient(), grads, atol=1e-7)


def test_a_second_call_adds_to_the_first():
    model = network()
    apply_dora(model, "0", 1)
    assert apply_dora(model, "*", 2) == ("4", "5")  # and not the frozen layer inside the first
    assert [model[i].rank for i in (0, 4, 5)] == [1, 2, 2]
    assert all(model[i].lora_a.requires_grad and not model[i].base.weight.requires_grad for i in (0, 4, 5))


def test_a_pattern_that_matches_nothing_changes_nothing():
    model = network()
    with pytest.raises(
        ValueError, match=r"no linear or convolutional layer matches 'head'; there are 0, 4, 5"
    ):
        apply_dora(model, ["0", "head"], 2)
    assert type(model[0]) is nn.Conv2d
    assert all(p.requires_grad for p in model.parameters())
    with pytest.raises(ValueError, match=r"matches 'linaer\.0'; .*did you mean 'linear.0'\?"):
        apply_dora(nn.ModuleDict({"linear": nn.Sequential(nn.Linear(2, 2))}), "linaer.0", 1)


def test_subclasses_whose_weight_is_read_elsewhere_are_left():
    model = nn.ModuleDict({"attention": nn.MultiheadAttention(4, 2)})
    with pytest.raises(ValueError, match="there are none"):
        apply_dora(model, "*", 1)
