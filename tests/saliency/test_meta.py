"""Meta-saliency against a copy of the model that takes the step, its limit against central differences."""

import copy
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.result import load_result
from workbench.saliency import METHODS, MetaExplainer, explain, meta_saliency

TARGETS = [[0, 3], [1, 2], [2, 0]]
TRUE = [name for name, method in METHODS.items() if method.rule == "true" and name != "cam"]


class Network(nn.Module):
    """A residual network with norms, biases, and modules that work in place."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.norm = nn.Conv2d(3, 5, 3, padding=1), nn.BatchNorm2d(5)
        self.second, self.relu = nn.Conv2d(5, 5, 3, padding=1), nn.ReLU(inplace=True)
        self.last = nn.Linear(5 * 16, 4)
        nn.init.normal_(self.norm.weight)
        nn.init.normal_(self.norm.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm(self.first(x)))
        y = self.relu(self.second(x))
        y = y + x
        return self.last(F.max_pool2d(y, 2).flatten(1))


def network() -> Network:
    return Network().double().eval()


def images(count: int = 3) -> Tensor:
    return torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(1)).double()


def after_a_step(net: nn.Module, image: Tensor, target: int, step: float) -> nn.Module:
    """A copy that an ordinary optimizer has moved by one step on this image."""
    moved = copy.deepcopy(net).requires_grad_()
    optimizer = torch.optim.SGD(moved.parameters(), lr=abs(step), maximize=step < 0)
    F.cross_entropy(moved(image[None]), torch.tensor([target])).backward()
    optimizer.step()
    return moved


@pytest.mark.parametrize("method", TRUE)
def test_it_is_the_map_of_a_copy_that_took_the_step(method: str) -> None:
    net, inputs = network(), images()
    found = meta_saliency(net, inputs, TARGETS, method, "second", step=0.05, rows=4)
    assert found.looped == ""
    for n, row in enumerate(TARGETS):
        for t, target in enumerate(row):
            moved = after_a_step(net, inputs[n], target, 0.05)
            expected = explain(moved, inputs[n : n + 1], target, method, "second").maps[0].raw[0, 0]
            torch.testing.assert_close(found.maps[n, t], expected, rtol=0, atol=1e-12)
            losses = [
                F.cross_entropy(each(inputs[n : n + 1]), torch.tensor([target])) for each in (moved, net)
            ]
            torch.testing.assert_close(found.loss_change[n, t], (losses[0] - losses[1]).detach())


@pytest.mark.parametrize("layer", ["input", "norm", "second"])
@pytest.mark.parametrize("score", ["logit", "probability", "loss"])
def test_no_step_gives_the_plain_maps_and_going_up_is_a_negative_step(layer: str, score: str) -> None:
    net, inputs = network(), images()
    plain = explain(net, inputs, TARGETS, "norm_grad", layer, score).maps[0].raw
    found = meta_saliency(net, inputs, TARGETS, "norm_grad", layer, score=score, step=0)
    torch.testing.assert_close(found.maps, plain, rtol=0, atol=1e-13)
    up = meta_saliency(net, inputs, TARGETS, "norm_grad", layer, score=score, step=0.05, ascend=True)
    torch.testing.assert_close(up.plain, plain, rtol=0, atol=1e-13)
    moved = after_a_step(net, inputs[1], 2, -0.05)
    expected = explain(moved, inputs[1:2], 2, "norm_grad", layer, score).maps[0].raw[0, 0]
    torch.testing.assert_close(up.maps[1, 1], expected, rtol=0, atol=1e-12)
    assert (up.loss_change > 0).all()


@pytest.mark.parametrize("ascend", [False, True])
@pytest.mark.parametrize("method", TRUE)
def test_the_limit_is_the_central_difference(method: str, ascend: bool) -> None:
    net, inputs, step = network(), images(), 1e-6
    limit = meta_saliency(net, inputs, TARGETS, method, "second", infinitesimal=True, ascend=ascend)
    there, back = (
        meta_saliency(net, inputs, TARGETS, method, "second", step=step, ascend=up)
        for up in (ascend, not ascend)
    )
    difference = (there.maps - back.maps) / (2 * step)
    assert limit.maps.isfinite().all()
    assert limit.maps.abs().max() > 0
    torch.testing.assert_close(limit.maps, difference, rtol=1e-6, atol=1e-6 * float(difference.abs().max()))
    slope = (there.loss_change - back.loss_change) / (2 * step)
    torch.testing.assert_close(limit.loss_change, slope, rtol=1e-6, atol=0)
    torch.testing.assert_close(limit.plain, there.plain)


def test_the_slope_of_the_loss_is_the_squared_length_of_its_gradient() -> None:
    net, inputs = network(), images()
    found = meta_saliency(net, inputs, [2, 1, 0], infinitesimal=True)
    loss = F.cross_entropy(net(inputs[1:2]), torch.tensor([1]))
    squares = sum(each.square().sum() for each in torch.autograd.grad(loss, list(net.parameters())))
    torch.testing.assert_close(found.loss_change[1, 0], -squares)


def test_dead_units_have_a_derivative_of_0_and_not_nan() -> None:
    net, inputs = network(), images()
    net.first.bias.data.fill_(0)
    net.norm.bias.data.fill_(-100)
    found = meta_saliency(net, inputs, TARGETS, "norm_grad", "norm", infinitesimal=True)
    assert found.maps.isfinite().all()


@pytest.mark.parametrize("frozen", [False, True])
def test_the_weights_stay_to_the_bit(frozen: bool) -> None:
    net, inputs = network().requires_grad_(not frozen), images()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    found = meta_saliency(net, inputs, TARGETS, "norm_grad", "second", step=10.0)
    meta_saliency(net, inputs, TARGETS, "norm_grad", "second", infinitesimal=True)
    assert (found.maps - found.plain).abs().max() > 0.1 * found.plain.max()
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())
    assert all(parameter.requires_grad is not frozen for parameter in net.parameters())
    assert not any(len(module._forward_hooks) for module in net.modules())


@pytest.mark.parametrize("rows", [1, 4, 100])
def test_a_batch_is_its_inputs_one_by_one(rows: int) -> None:
    net, inputs = network(), images()
    with torch.inference_mode():
        together = meta_saliency(net, images(), TARGETS, "norm_grad", "second", step=0.1, rows=rows)
    for n in range(3):
        alone = meta_saliency(net, inputs[n : n + 1], TARGETS[n][1], "norm_grad", "second", step=0.1)
        torch.testing.assert_close(together.maps[n, 1], alone.maps[0, 0])


class Deciding(nn.Module):
    """Looks at its numbers before it goes on, which vmap does not allow."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = network()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) if float(x.sum()) > -1 else self.inner(-x)


def test_a_model_that_vmap_cannot_take_goes_one_by_one_and_says_why() -> None:
    inputs = images()
    expected = meta_saliency(network(), inputs, TARGETS, "norm_grad", "second", step=0.1)
    with pytest.warns(UserWarning, match=r"input by input, as vmap says: .*\.item\(\)"):
        found = meta_saliency(Deciding(), inputs, TARGETS, "norm_grad", "inner.second", step=0.1)
    torch.testing.assert_close(found.maps, expected.maps)
    assert ".item()" in found.looped
    assert "one by one" in found.summary()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        meta_saliency(network(), inputs, TARGETS, "norm_grad", "second")


class Words(nn.Module):
    """Takes whole numbers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.last = nn.Embedding(7, 12), nn.Linear(12, 4)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.last(self.embed(tokens).tanh().mean(1))


def test_inputs_may_be_tokens_where_the_layer_is_not() -> None:
    net, tokens = Words().double(), torch.tensor([[1, 2, 3, 4], [5, 6, 0, 1]])
    grid = {"adapter": lambda values: values.transpose(1, 2).unflatten(2, (2, 2))}
    found = meta_saliency(net, tokens, [2, 0], "norm_grad", "embed", step=0.5, **grid)
    moved = after_a_step(net, tokens[1], 0, 0.5)
    expected = explain(moved, tokens[1:], 0, "norm_grad", "embed", **grid).maps[0].raw[0, 0]
    torch.testing.assert_close(found.maps[1, 0], expected)


def test_an_explainer_makes_maps_of_the_size_of_the_inputs() -> None:
    net, inputs = network(), images()
    request = MetaExplainer("grad_cam", "second", step=0.1)
    found = request(net, inputs, torch.tensor([2, 0, 1]))
    assert found.shape == (3, 8, 8)
    expected = meta_saliency(net, inputs, [2, 0, 1], "grad_cam", "second", step=0.1)
    torch.testing.assert_close(found, expected.sized[:, 0])
    assert request == MetaExplainer("grad_cam", "second", step=0.1)
    with pytest.raises(ValueError, match="an explainer takes one"):
        request(net, inputs, TARGETS)


def test_the_result_is_a_table_a_picture_and_a_file(tmp_path: object) -> None:
    found = meta_saliency(network(), images(), TARGETS, "norm_grad", "second", step=0.1)
    table = found.frame()
    assert table["target"].tolist() == [0, 3, 1, 2, 2, 0]
    moved = (found.maps[1, 1] - found.plain[1, 1]).norm() / found.plain[1, 1].norm()
    assert table["moved"][3] == pytest.approx(float(moved))
    assert "ε = 0.1" in found.summary()
    assert "cross entropy" in found.plot().get_xlabel()
    again = load_result(found.save(f"{tmp_path}/found.zip"))
    assert torch.equal(again.maps, found.maps)
    limit = meta_saliency(network(), images(), TARGETS, "norm_grad", "second", infinitesimal=True)
    assert "per unit of ε" in limit.summary()
    torch.testing.assert_close(
        limit.moved, limit.maps.flatten(2).norm(dim=2) / found.plain.flatten(2).norm(dim=2)
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [({"method": "guided"}, "follows the rule 'guided': meta-saliency takes the true one"),
     ({"step": -0.1}, "step=-0.1 is out of range"), ({"rows": 0}, "rows=0 is out of range"),
     ({"score": "logits"}, "did you mean 'logit'"), ({"layer": "thrid"}, "layer 'thrid' is none of")],
)  # fmt: skip
def test_what_is_out_of_range_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        meta_saliency(network(), images(), 0, **options)
    with pytest.raises(ValueError, match="in train mode"):
        meta_saliency(network().train(), images(), 0)


def test_half_precision_would_round_the_step_away() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 3)).bfloat16().eval()
    inputs = torch.rand(2, 3, 8, 8).bfloat16()
    with pytest.raises(ValueError, match=r"'0.weight' is torch.bfloat16, which rounds the step away"):
        meta_saliency(model, inputs, 0)
    assert meta_saliency(model, inputs, 0, step=0).maps.isfinite().all()
    assert meta_saliency(model, inputs, 0, infinitesimal=True).maps.isfinite().all()


def test_maps_that_are_0_have_no_part_they_moved_by() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3)).double().eval()
    with torch.no_grad():
        model[0].bias.zero_()
    inputs = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)).double()
    inputs[1] = 0
    found = meta_saliency(model, inputs, 0, "norm_grad", "0", step=1e-3)
    assert found.moved.isnan().tolist() == [[False], [True]]
    assert "1 of 2 UNDEFINED and left out" in found.summary()
