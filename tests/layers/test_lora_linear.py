"""A LoRA layer against its dense weight, and how it gets into a model and out of it."""

import copy

import pytest
import torch
from torch import nn

import workbench as wb
from workbench.layers import DoRALinear, LoRALinear, apply_dora, apply_lora, merge_dora, merge_lora

X = torch.randn(2, 3, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def trained(dtype=torch.float64, **options):
    """A layer whose update has some size, as training would give it."""
    torch.manual_seed(0)
    layer = LoRALinear(nn.Linear(7, 5, dtype=dtype), 3, alpha=6, **options)
    nn.init.normal_(layer.lora_b, std=0.5)
    return layer


def dense(layer, x):
    base = layer.base
    weight = base.weight.double() + 2 * layer.lora_b.double() @ layer.lora_a.double()
    return x @ weight.T + base.bias.double()


def test_a_new_layer_is_its_base():
    base = nn.Linear(7, 5, dtype=torch.float64)
    assert torch.equal(LoRALinear(base, 2)(X), base(X))
    assert not base.weight.requires_grad


def test_output_and_gradients_are_those_of_the_dense_weight():
    layer, x = trained(), X.clone().requires_grad_()
    wanted = [x, layer.lora_a, layer.lora_b]
    output, truth = layer(x), dense(layer, x)
    assert torch.allclose(output, truth, rtol=1e-12)
    ours = torch.autograd.grad(output.square().sum(), wanted)
    theirs = torch.autograd.grad(truth.square().sum(), wanted)
    for mine, its in zip(ours, theirs, strict=True):
        assert torch.allclose(mine, its, rtol=1e-11)


def test_half_precision_keeps_its_factors_in_float32():
    layer = trained(torch.bfloat16)
    assert layer.lora_a.dtype == layer.lora_b.dtype == torch.float32
    output, truth = layer(X.bfloat16()), dense(layer, X)
    assert output.dtype == torch.bfloat16
    assert (output.double() - truth).norm() < 1e-2 * truth.norm()


def test_dropout_acts_on_the_update_and_only_in_training():
    layer = trained(dropout=0.5)
    assert not torch.equal(layer(X), layer(X))
    assert torch.equal(layer.eval()(X), trained()(X))


def test_a_merge_is_used_sees_changes_and_is_gone(monkeypatch):
    layer = trained().eval()
    before, state = layer(X), copy.deepcopy(layer.state_dict())
    layer.merge()
    with torch.no_grad():
        assert torch.allclose(layer(X), before, rtol=1e-12)
        with monkeypatch.context() as without:
            without.setattr(nn.Dropout, "forward", None)  # the sum is all that is used
            layer(X)
        layer.lora_a.mul_(2)
        assert torch.allclose(layer(X), dense(layer, X), rtol=1e-12)
    layer.load_state_dict(state)
    assert torch.equal(layer.unmerge()(X), before)


def test_a_model_gets_updates_and_loses_them():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 4), nn.Linear(4, 3)).eval()
    x = torch.randn(2, 1, 4, 4)
    before = model(x)
    assert apply_lora(model, "*", rank=2, alpha=4) == ("2", "3")
    assert torch.equal(model(x), before)
    trainable = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trainable == {f"{i}.{name}" for i in (2, 3) for name in ("lora_a", "lora_b")}
    nn.init.normal_(model[2].lora_b)
    after = model(x)
    assert merge_dora(model) == ()
    assert merge_lora(model) == ("2", "3")
    assert [type(each) for each in model] == [nn.Conv2d, nn.Flatten, nn.Linear, nn.Linear]
    assert torch.allclose(model(x), after, atol=1e-6)


def test_both_kinds_stand_in_one_model():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    apply_dora(model, "0", 1)
    assert apply_lora(model, "*", 2) == ("1",)  # and not the frozen layer inside the first
    assert isinstance(model[0], DoRALinear)
    assert model[0].magnitude.requires_grad


def test_curvature_is_that_of_the_update():
    """Of squares, which a linear layer makes quadratic in B: 2 s² x xᵀ through A, by hand."""
    layer = trained()
    layer.lora_a.requires_grad_(False)
    x = X[0]
    problem = wb.Problem(layer.eval(), nn.MSELoss(reduction="sum"), (x, torch.zeros(3, 5).double()))
    hidden = 2 * x @ layer.lora_a.detach().T
    expected = torch.kron(torch.eye(5, dtype=torch.float64), 2 * hidden.T @ hidden)
    found = wb.curvature.hessian(problem) @ torch.eye(15, dtype=torch.float64)
    assert torch.allclose(found, expected, atol=1e-10)


def test_what_cannot_be_is_refused():
    with pytest.raises(TypeError, match=r"base is a Conv2d, not a torch.nn.Linear"):
        LoRALinear(nn.Conv2d(2, 2, 1), 2)
    with pytest.raises(ValueError, match="rank=0 is out of range"):
        LoRALinear(nn.Linear(2, 2), 0)
    with pytest.raises(ValueError, match=r"no linear layer matches '0'; there are none"):
        apply_lora(nn.Sequential(nn.Conv2d(1, 1, 1)), "0", 1)
