import copy
import pickle

import pytest
import torch
from torch import nn
from torch.func import functional_call

import workbench as wb
from workbench.layers import DoRAConv2d, DoRALinear


def trained(layer, seed=0):
    """Give the update some size, as training would."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in (layer.lora_a, layer.lora_b):
            noise = torch.randn(parameter.shape, generator=random, dtype=torch.float64)
            parameter.copy_(noise / parameter[0].numel() ** 0.5)
        layer.magnitude.mul_(1 + 0.1 * torch.randn(layer.magnitude.shape, generator=random))
    return layer


def linear(dtype=torch.float64, **options):
    torch.manual_seed(0)
    return trained(DoRALinear(nn.Linear(7, 5, dtype=dtype), 3, alpha=6, **options))


def convolution(dtype=torch.float64, bias=True, mode="zeros", **options):
    torch.manual_seed(0)
    base = nn.Conv2d(4, 6, (3, 2), stride=2, padding=1, dilation=1, bias=bias, padding_mode=mode, dtype=dtype)
    return trained(DoRAConv2d(base, 3, alpha=6, **options))


def dense_weight(layer):
    """W' by its definition, in float64."""
    w = layer.base.weight.double()
    total = w + layer.scale * (layer.lora_b.double() @ layer.lora_a.double().flatten(1)).view_as(w)
    norm = total.flatten(1).norm(dim=1)
    shape = (-1, *[1] * (w.ndim - 1))
    return (layer.magnitude.double() / (norm.detach() if layer.constant_norm else norm)).view(shape) * total


def dense_output(layer, x):
    base = layer.base
    bias = None if base.bias is None else base.bias.double()
    if isinstance(layer, DoRALinear):
        return nn.functional.linear(x.double(), dense_weight(layer), bias)
    return base._conv_forward(x.double(), dense_weight(layer), bias)


INPUTS = {linear: (2, 3, 7), convolution: (2, 4, 5, 4)}
LAYERS = pytest.mark.parametrize("make", INPUTS, ids=lambda make: make.__name__)


def inputs(make, dtype=torch.float64):
    return torch.randn(INPUTS[make], generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(
        dtype
    )


@LAYERS
def test_a_new_layer_is_its_base(make):
    base = make().base
    layer = (DoRALinear if make is linear else DoRAConv2d)(base, 2)
    x = inputs(make)
    assert torch.equal(layer.gain(), torch.ones_like(layer.magnitude))
    assert torch.allclose(layer(x), base(x), rtol=1e-12, atol=1e-12)


@LAYERS
@pytest.mark.parametrize("constant", [True, False])
def test_output_and_gradients_are_those_of_the_dense_weight(make, constant):
    layer = make(constant_norm=constant)
    x = inputs(make).requires_grad_()
    wanted = [x, layer.lora_a, layer.lora_b, layer.magnitude]
    output, truth = layer(x), dense_output(layer, x)
    assert torch.allclose(output, truth, rtol=1e-12, atol=1e-12)
    grad = torch.randn(truth.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    ours = torch.autograd.grad(output, wanted, grad)
    theirs = torch.autograd.grad(truth, wanted, grad)
    for mine, its in zip(ours, theirs, strict=True):
        assert torch.allclose(mine, its, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("mode", ["zeros", "reflect", "circular"])
@pytest.mark.parametrize("bias", [True, False])
def test_convolutions_of_every_padding(mode, bias):
    layer, x = convolution(mode=mode, bias=bias), inputs(convolution)
    assert torch.allclose(layer(x), dense_output(layer, x), rtol=1e-12, atol=1e-12)
    assert torch.allclose(layer(x[0]), layer(x)[0], rtol=1e-12, atol=1e-12)


@LAYERS
def test_second_derivatives_by_autograd(make):
    """With the norm differentiated these are those of the loss; a constant norm is constant in them, too."""
    layer = make(constant_norm=False)
    x = inputs(make)

    def output(a, b, m):
        return functional_call(layer, {"lora_a": a, "lora_b": b, "magnitude": m}, (x[:1],))

    given = [p.detach().clone().requires_grad_() for p in (layer.lora_a, layer.lora_b, layer.magnitude)]
    assert torch.autograd.gradcheck(output, given)
    assert torch.autograd.gradgradcheck(output, given, atol=1e-4)


@LAYERS
def test_half_precision_keeps_the_norm_in_float32(make):
    layer = make(dtype=torch.bfloat16)
    assert {p.dtype for p in (layer.lora_a, layer.lora_b, layer.magnitude)} == {torch.float32}
    assert layer.norm().dtype == torch.float32
    x = inputs(make, torch.bfloat16)
    output, truth = layer(x), dense_output(layer, x)
    assert output.dtype == torch.bfloat16
    assert (output.double() - truth).norm() < 1e-2 * truth.norm()  # roundings of both products


@LAYERS
def test_autocast_rounds_products_and_not_the_norm(make):
    layer = make(dtype=torch.float32)
    exact = layer.norm()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer.train().norm(), exact)
        assert layer(inputs(make, torch.float32)).dtype == torch.bfloat16


def test_dropout_acts_on_the_update_and_only_in_training():
    layer, x = linear(dropout=0.5), inputs(linear)
    assert not torch.equal(layer(x), layer(x))
    with torch.no_grad():
        layer.lora_b.zero_()
    assert torch.equal(layer(x), layer(x))
    assert torch.equal(linear(dropout=0.5).eval()(x), linear().eval()(x))


def test_a_frozen_magnitude_gets_no_gradient():
    layer = linear(train_magnitude=False)
    layer(inputs(linear)).sum().backward()
    assert layer.magnitude.grad is None
    assert layer.lora_a.grad is not None
    assert layer.base.weight.grad is None


def test_a_bias_can_be_trained():
    layer = linear()
    layer.base.bias.requires_grad_(True)
    layer(inputs(linear)).sum().backward()
    assert torch.allclose(layer.base.bias.grad, torch.full((5,), 6.0, dtype=torch.float64))


@LAYERS
def test_merge_gives_the_same_output_and_unmerge_the_same_layer(make, monkeypatch):
    layer, x = make().eval(), inputs(make)
    before, state = layer(x), copy.deepcopy(layer.state_dict())
    layer.merge()
    with torch.no_grad(), monkeypatch.context() as without:
        layer(x)
        without.setattr(type(layer), "gain", None)  # W' is all that is used
        assert torch.allclose(layer(x), before, rtol=1e-12, atol=1e-12)
    assert layer.state_dict().keys() == state.keys()
    with torch.no_grad():
        assert torch.equal(layer.unmerge()(x), before)
    assert all(torch.equal(value, state[name]) for name, value in layer.state_dict().items())


def test_a_merge_sees_changes_and_gives_way_to_gradients():
    layer, x = linear(dropout=0.5).merge(), inputs(linear)
    layer.train()
    with torch.no_grad():
        assert not torch.equal(layer(x), layer(x))  # dropout, as if it were not merged
    layer.eval()(x).sum().backward()
    assert layer.lora_b.grad.abs().max() > 0
    with torch.no_grad():
        layer(x)
        layer.magnitude.mul_(2)
        assert torch.allclose(layer(x), dense_output(layer, x), rtol=1e-12)


@LAYERS
def test_a_merged_layer_is_plain(make):
    layer, x = make(), inputs(make)
    plain = layer.merged_layer()
    assert type(plain) is type(layer.base)
    assert torch.allclose(plain(x), layer(x), rtol=1e-12, atol=1e-12)
    assert not layer.base.weight.requires_grad


def count_norms(monkeypatch):
    """A list that grows by one each time a norm is computed."""
    calls = []
    module = "workbench.layers.dora_layer"
    for name in ("dora_norm", "squared_norms"):
        real = getattr(wb.kernels.dora_norms if name == "squared_norms" else wb.kernels, name)
        monkeypatch.setattr(
            f"{module}.{name}", lambda *args, name=name, real=real: calls.append(name) or real(*args)
        )
    return calls


def test_the_norm_is_computed_once_in_eval_mode_and_again_after_a_change(monkeypatch):
    layer, x = linear().eval(), inputs(linear)
    calls = count_norms(monkeypatch)
    layer(x), layer(x)
    assert calls == ["squared_norms", "dora_norm"]
    with torch.no_grad():
        layer.lora_b.add_(1)
    assert torch.allclose(layer(x), dense_output(layer, x))
    assert calls == ["squared_norms", "dora_norm", "dora_norm"]
    with torch.no_grad():
        layer.base.weight.mul_(2)  # invalidates both
    assert torch.allclose(layer(x), dense_output(layer, x))
    assert calls[3:] == ["dora_norm", "squared_norms"] or calls[3:] == ["squared_norms", "dora_norm"]


def test_in_training_only_the_frozen_part_is_remembered(monkeypatch):
    layer, x = linear(), inputs(linear)
    calls = count_norms(monkeypatch)
    layer(x), layer(x)
    assert calls == ["squared_norms", "dora_norm", "dora_norm"]


@pytest.mark.parametrize("change", [
    lambda layer: layer.load_state_dict({**layer.state_dict(), "base.weight": 3 * layer.base.weight}),
    lambda layer: layer.float().double(),
    lambda layer: setattr(layer.base, "weight", nn.Parameter(2 * layer.base.weight)),
    lambda layer: setattr(layer.base.weight, "data", 2 * layer.base.weight),
    lambda layer: torch.optim.SGD([layer.lora_a.requires_grad_()], 1.0).step(
        lambda: layer.lora_a.square().sum().backward()),
], ids=["load", "dtype", "replace", "data", "optimizer"])  # fmt: skip
def test_every_change_of_a_tensor_is_seen(change):
    layer, x = linear().eval(), inputs(linear)
    layer(x)
    change(layer)
    assert torch.allclose(layer(x), dense_output(layer, x), rtol=1e-9)


def test_other_tensors_for_the_time_of_a_call_are_seen():
    layer, x = linear().eval(), inputs(linear)
    before = layer(x)
    other = {"lora_b": 2 * layer.lora_b.detach()}
    twin = copy.deepcopy(layer)
    twin.load_state_dict({**layer.state_dict(), **other})
    assert torch.allclose(functional_call(layer, other, (x,)), dense_output(twin, x))
    assert torch.equal(layer(x), before)


@LAYERS
def test_copies_and_pickles_remember_nothing_and_compute_the_same(make):
    layer, x = make().eval(), inputs(make)
    before = layer(x)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert other._norm._value is None
        assert torch.equal(other(x), before)


def test_inference_mode_leaves_nothing_behind():
    layer, x = linear().eval(), inputs(linear)
    with torch.inference_mode():
        layer(x)
    layer(x).sum().backward()
    assert layer.lora_b.grad is not None


@LAYERS
def test_compiled_in_one_graph(make):
    layer, x = make(dtype=torch.float32), inputs(make, torch.float32)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    wanted = [layer.lora_a, layer.lora_b, layer.magnitude]
    ours = torch.autograd.grad(compiled(x).square().sum(), wanted)
    theirs = torch.autograd.grad(layer(x).square().sum(), wanted)
    for mine, its in zip(ours, theirs, strict=True):
        assert torch.allclose(mine, its, rtol=1e-5, atol=1e-6)


def test_per_example_gradients_by_vmap():
    layer, x = linear(), inputs(linear)[0]
    parameters = {"lora_b": layer.lora_b.detach()}

    def loss(values, row):
        return functional_call(layer, values, (row,)).square().sum()

    each = torch.func.vmap(torch.func.grad(loss), (None, 0))(parameters, x)["lora_b"]
    whole = torch.autograd.grad(layer(x).square().sum(), layer.lora_b)[0]
    assert torch.allclose(each.sum(0), whole)


def test_curvature_of_a_problem_with_a_dora_layer():
    """Hessian products against a dense Hessian by autograd, of the problem as it is."""
    torch.manual_seed(0)
    model = nn.Sequential(trained(DoRALinear(nn.Linear(4, 3), 2, constant_norm=False)), nn.Tanh())
    model = model.double().eval()
    x, y = torch.randn(6, 4, dtype=torch.float64), torch.randint(0, 3, (6,))
    problem = wb.Problem(model, nn.CrossEntropyLoss(), (x, y))
    assert problem.num_parameters == 4 * 2 + 3 * 2 + 3

    def loss(theta):
        values = problem.as_parameters(theta)
        layer = model[0]
        w = layer.base.weight + layer.scale * values["0.lora_b"] @ values["0.lora_a"]
        w = values["0.magnitude"][:, None] * w / w.norm(dim=1, keepdim=True)
        return nn.functional.cross_entropy((x @ w.T + layer.base.bias).tanh(), y)

    dense = torch.autograd.functional.hessian(loss, problem.parameters_vector())
    ours = wb.curvature.hessian(problem) @ torch.eye(17, dtype=torch.float64)
    assert torch.allclose(ours, dense, atol=1e-10)


def test_what_cannot_be_is_refused():
    with pytest.raises(TypeError, match=r"base is a Conv2d, not a torch.nn.Linear"):
        DoRALinear(nn.Conv2d(2, 2, 1), 2)
    with pytest.raises(TypeError, match=r"base is a Linear, not a torch.nn.Conv2d"):
        DoRAConv2d(nn.Linear(2, 2), 2)
    with pytest.raises(ValueError, match="rank=0 is out of range"):
        DoRALinear(nn.Linear(2, 2), 0)
    with pytest.raises(ValueError, match=r"dropout=1.5 is out of range: it must be at least 0 and below 1"):
        DoRALinear(nn.Linear(2, 2), 1, dropout=1.5)
    with pytest.raises(ValueError, match="groups=2"):
        DoRAConv2d(nn.Conv2d(4, 4, 1, groups=2), 1)
