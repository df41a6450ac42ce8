"""Excitation backprop against fractions by hand, and a reference in dense matrices, layer by layer."""

import gc
import weakref
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from rule_cases import Functional, Residual, count_hooks, images, randomise_norms, rectifier_net, residual_net
from torch import Tensor, nn

from workbench.saliency import explain
from workbench.saliency.capture import capture
from workbench.saliency.rules import Operations, rule_gradients
from workbench.saliency.rules.excitation import excitation

TARGETS = [[0, 3], [1, 2], [2, 0]]
BLOCKS = ["input", "2", "3", "4", "5", "6", "7"]


def winning(
    net: nn.Module, inputs: Tensor, target: object, layers: list[str], rule: str = "excitation"
) -> dict[str, Tensor]:
    return {name: p for name, (_, p) in rule_gradients(net, inputs, target, layers, [rule])[rule].items()}


# ---- the reference: one image, one layer after the other, each a matrix -----------------------------------


def matrix(layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The derivative of a layer at x, outputs × inputs: of a linear layer, its weights without the bias."""
    return torch.autograd.functional.jacobian(layer, x).reshape(-1, x.numel())


def through(layer: Callable[[Tensor], Tensor], x: Tensor, p: Tensor, sign: float = 1) -> Tensor:
    """Shares of a linear layer, output by output."""
    positive = (sign * matrix(layer, x)).clamp(min=0) * x.flatten().clamp(min=0)
    shares = torch.zeros_like(positive)
    for i, row in enumerate(positive):
        if row.sum() > 0:
            shares[i] = row / row.sum()
    return (p.flatten() @ shares).reshape(x.shape)


def reference_block(block: Residual, x: Tensor, p: Tensor) -> Tensor:
    inside = block.norm(block.first(x)).relu()
    branch = block.last_norm(block.second(inside))
    both = branch.clamp(min=0) + x.clamp(min=0)
    to_branch = torch.where(both > 0, p * branch.clamp(min=0) / both, 0)
    to_skip = torch.where(both > 0, p * x.clamp(min=0) / both, 0)
    to_inside = through(lambda each: block.last_norm(block.second(each)), inside, to_branch)
    return to_skip + through(lambda each: block.norm(block.first(each)), x, to_inside)


def reference(
    net: nn.Sequential, image: Tensor, target: int, *, contrastive: bool = False
) -> dict[str, Tensor]:
    """Winning probabilities in ``residual_net`` at the ends of its stages."""
    with torch.no_grad():
        stages: list[Callable[[Tensor], Tensor]] = [
            net[:2], nn.ReLU(), net[3], net[4], net[5], net[6], net[7], net[8], net[9],
        ]  # fmt: skip
        values = [image[None]]
        for stage in stages:
            values.append(stage(values[-1]))
        p = F.one_hot(torch.tensor([target]), 4).double()
        found = {}
        names = ["input", "1", "2", "3", "4", "5", "6", "7", "8"]
        for name, stage, x in list(zip(names, stages, values[:-1], strict=True))[::-1]:
            if isinstance(stage, Residual):
                p = reference_block(stage, x, p)
            elif isinstance(stage, nn.MaxPool2d):
                p = (p.flatten() @ matrix(stage, x)).reshape(x.shape)
            elif isinstance(stage, nn.ReLU | nn.Flatten):
                p = p.reshape(x.shape)
            elif stage is net[9] and contrastive:
                mine, opposite = through(stage, x, p), through(stage, x, p, -1)
                p = mine / mine.sum() - opposite / opposite.sum()
            else:
                p = through(stage, x, p)
            found[name] = p[0]
        return found


@pytest.mark.parametrize("rule", ["excitation", "contrastive_excitation"])
def test_it_is_the_reference_in_dense_matrices(rule: str) -> None:
    net, inputs = residual_net(), images(2, size=8)
    found = winning(net, inputs, TARGETS[:2], BLOCKS, rule)
    for n in range(2):
        for t in range(2):
            expected = reference(net, inputs[n], TARGETS[n][t], contrastive=rule != "excitation")
            for name in BLOCKS:
                torch.testing.assert_close(found[name][n, t], expected[name], rtol=0, atol=1e-14)


# ---- by hand ---------------------------------------------------------------------------------------------


def two_layers() -> nn.Sequential:
    """Hidden units 3 and 2 for x = (1, 1, 1), logits 4 and -1."""
    net = nn.Sequential(nn.Linear(3, 2, bias=False), nn.ReLU(), nn.Linear(2, 2, bias=False))
    net[0].weight.data = torch.tensor([[1.0, -1.0, 3.0], [2.0, 1.0, -1.0]])
    net[2].weight.data = torch.tensor([[2.0, -1.0], [-1.0, 1.0]])
    return net.eval()


def test_two_layers_by_hand() -> None:
    found = winning(two_layers(), torch.ones(1, 3), [[0, 1]], ["input", "1"])
    assert found["1"].tolist() == [[[1.0, 0.0], [0.0, 1.0]]]
    expected = torch.tensor([[[1 / 4, 0, 3 / 4], [2 / 3, 1 / 3, 0]]])
    torch.testing.assert_close(found["input"], expected)


def test_the_contrast_of_two_layers_by_hand() -> None:
    # For class 0 all goes to hidden unit 0, for its opposite (-2, 1) all to unit 1: together (1, -1).
    found = winning(two_layers(), torch.ones(1, 3), 0, ["input", "1"], "contrastive_excitation")
    assert found["1"].tolist() == [[[1.0, -1.0]]]
    torch.testing.assert_close(found["input"], torch.tensor([[[1 / 4 - 2 / 3, -1 / 3, 3 / 4]]]))


def test_the_contrasts_of_opposite_classes_are_opposite() -> None:
    net = rectifier_net()
    net[-1].weight.data[1] = -net[-1].weight.data[0]
    found = winning(net, images(), [[0, 1]] * 3, ["2", "5"], "contrastive_excitation")
    for p in found.values():
        assert p.abs().max() > 1e-3
        torch.testing.assert_close(p[:, 0], -p[:, 1])


# ---- mass ------------------------------------------------------------------------------------------------


def test_without_biases_the_mass_of_every_layer_is_1() -> None:
    found = winning(residual_net(), images(), TARGETS, BLOCKS)
    for p in found.values():
        assert p.min() >= 0
        torch.testing.assert_close(p.flatten(2).sum(2), torch.ones(3, 2).double(), rtol=0, atol=1e-12)


def test_the_mass_of_a_contrast_is_0() -> None:
    for p in winning(residual_net(), images(), TARGETS, BLOCKS, "contrastive_excitation").values():
        torch.testing.assert_close(p.flatten(2).sum(2), torch.zeros(3, 2).double(), rtol=0, atol=1e-12)


def test_what_only_a_bias_excites_loses_its_mass() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1, bias=False)).eval()
    net[0].weight.data, net[0].bias.data = torch.tensor([[1.0, 1.0], [-1.0, -1.0]]), torch.tensor([0.0, 3.0])
    net[2].weight.data = torch.tensor([[1.0, 2.0]])
    found = winning(net, torch.tensor([[1.0, 1.0]]), 0, ["input", "1"])
    assert found["1"].tolist() == [[[0.5, 0.5]]]  # hidden 2 and 1, weights 1 and 2
    assert found["input"].tolist() == [[[0.25, 0.25]]]


def test_negative_activations_get_nothing() -> None:
    net = nn.Sequential(nn.Linear(3, 1, bias=False))
    net[0].weight.data = torch.tensor([[1.0, -5.0, 2.0]])
    found = winning(net, torch.tensor([[-1.0, -1.0, 2.0]]), 0, ["input"])
    assert found["input"].tolist() == [[[0.0, 0.0, 1.0]]]


# ---- the operations --------------------------------------------------------------------------------------


def test_functions_and_modules_in_place_are_the_same_as_modules() -> None:
    net, inputs = rectifier_net(), images()
    expected = winning(net, inputs, TARGETS, ["input"])["input"]
    for other in (Functional(net), rectifier_net(inplace=True)):
        torch.testing.assert_close(winning(other, inputs, TARGETS, ["input"])["input"], expected)


def test_a_norm_behind_a_rectifier_is_a_layer_of_its_own() -> None:
    scales = randomise_norms(nn.Sequential(nn.BatchNorm2d(4)))[0]
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    net = nn.Sequential(nn.ReLU(), scales, nn.ReLU(), *head).double().eval()
    assert (scales.weight > 0).any()
    assert (scales.weight < 0).any()
    x = torch.randn(1, 4, 3, 3, generator=torch.Generator().manual_seed(2)).double()
    found = winning(net, x, 0, ["0", "2"])
    passed = (scales.weight > 0).view(4, 1, 1) & (x[0] > 0)
    torch.testing.assert_close(found["0"][0, 0], torch.where(passed, found["2"][0, 0], 0))


def test_a_saturated_relu6_passes_its_mass_on() -> None:
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU6(), nn.Linear(2, 1, bias=False)).eval()
    net[0].weight.data, net[2].weight.data = 10 * torch.eye(2), torch.ones(1, 2)
    found = winning(net, torch.tensor([[1.0, 0.4]]), 0, ["input"])["input"]
    torch.testing.assert_close(found, torch.tensor([[[0.6, 0.4]]]))


class Averaging(nn.Module):
    """Ends in an average that a test may write as it likes."""

    def __init__(self, average: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.relu, self.last = nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Linear(5, 4)
        self.average = average

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.average(self.relu(self.first(x))))


@pytest.mark.parametrize(
    "average",
    [lambda x: x.mean((2, 3)), lambda x: torch.mean(x, dim=(-1, -2)), lambda x: x.sum((2, 3)),
     lambda x: F.adaptive_avg_pool2d(x, 1).flatten(1), lambda x: F.avg_pool2d(x, 6)[:, :, 0, 0],
     lambda x: F.adaptive_avg_pool1d(x.flatten(2), 1).squeeze(2), lambda x: x.flatten(2).mean(2)],
)  # fmt: skip
def test_averages_in_every_writing(average: Callable[[Tensor], Tensor]) -> None:
    net, inputs = Averaging(average).double(), images(size=8)
    with torch.no_grad():
        hidden = F.relu(net.first(inputs))
        weight = net.last.weight[torch.tensor([1, 0, 2])].clamp(min=0)
        contribution = hidden * weight[:, :, None, None]
        expected = contribution / contribution.sum((1, 2, 3), keepdim=True)
    torch.testing.assert_close(winning(net, inputs, [1, 0, 2], ["relu"])["relu"][:, 0], expected)


class Tokens(nn.Module):
    """A dense layer on each of several tokens, whose sum is shared with a constant and a branch."""

    def __init__(self, *, contiguous: bool, bias: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.mix, self.last = nn.Linear(4, 4, bias=bias), nn.Linear(4, 3, bias=False)
        self.position = nn.Parameter(torch.rand(4))
        self.contiguous = contiguous

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.contiguous else x.transpose(1, 2)
        hidden = F.relu(self.mix(x)) + x
        return self.last((1 + hidden + self.position).mean(1))


@pytest.mark.parametrize("bias", [False, True])
def test_dense_layers_on_tokens_and_constants_that_are_added(bias: bool) -> None:
    x = torch.rand(2, 5, 4, generator=torch.Generator().manual_seed(0)).double()
    plain = Tokens(contiguous=True, bias=bias).double()
    found = winning(plain, x, 1, ["input"])["input"]
    other = winning(
        Tokens(contiguous=False, bias=bias).double(), x.transpose(1, 2).contiguous(), 1, ["input"]
    )
    torch.testing.assert_close(other["input"].transpose(2, 3), found)
    with torch.no_grad():
        hidden = F.relu(plain.mix(x))
        z = (1 + hidden + x + plain.position).clamp(min=0) * plain.last.weight[1].clamp(min=0)
        p = z / z.sum((1, 2), keepdim=True)
        to_hidden, to_x = p * hidden / (hidden + x), p * x / (hidden + x)
        shares = plain.mix.weight.clamp(min=0)[None, None] * x[:, :, None]
        shares = shares / shares.sum(3, keepdim=True)
        expected = to_x + (to_hidden[..., None] * shares).sum(2)
    torch.testing.assert_close(found[:, 0], expected)


class Written(nn.Module):
    """Something between a convolution and a classifier."""

    def __init__(self, middle: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.middle, self.last = nn.Conv2d(3, 4, 3), middle, nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.middle(self.first(x)).mean((2, 3)))


@pytest.mark.parametrize(
    ("middle", "node"),
    [(F.gelu, "GeluBackward0"), (F.silu, "SiluBackward0"), (lambda x: x * x, "MulBackward0"),
     (lambda x: x - x.mean(), "SubBackward0"), (lambda x: torch.add(x, x, alpha=2), "AddBackward0"),
     (lambda x: F.batch_norm(x, None, None, training=True), "NativeBatchNormBackward0"),
     (lambda x: F.hardtanh(x), "HardtanhBackward0")],
)  # fmt: skip
def test_operations_without_a_rule_are_refused(middle: Callable[[Tensor], Tensor], node: str) -> None:
    with pytest.raises(ValueError, match=f"rule 'excitation' has no meaning for {node}: it knows dense"):
        winning(Written(middle), torch.rand(1, 3, 8, 8), 0, ["input"])


def test_a_tensor_that_is_overwritten_after_a_layer_read_it_is_refused() -> None:
    def middle(x: Tensor) -> Tensor:
        y = x.mean((2, 3), keepdim=True)
        x.zero_()
        return y

    with pytest.raises(ValueError, match="was overwritten in place after a layer had read it"):
        winning(Written(middle), torch.rand(1, 3, 8, 8), 0, ["input"])


def test_a_fold_that_something_else_reads_is_refused() -> None:
    norm = nn.BatchNorm2d(4).eval()
    norm.weight.data = torch.tensor([1.0, -1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match="cannot fold it in"):
        winning(Written(lambda x: norm(x) + x), torch.rand(1, 3, 8, 8), 0, ["input"])
    norm.weight.data.abs_()
    assert (
        winning(Written(lambda x: norm(x) + x), torch.rand(1, 3, 8, 8), 0, ["input"])["input"].sum() <= 1.0001
    )


def test_a_contrast_needs_one_last_layer() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(3, 2), nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.a(x) + self.b(x)

    with pytest.raises(ValueError, match="contrastive excitation needs one last layer with weights"):
        winning(Two(), torch.rand(1, 3), 0, ["input"], "contrastive_excitation")
    assert winning(Two(), torch.rand(1, 3), 0, ["input"])["input"].shape == (1, 1, 3)


def test_a_forward_pass_that_was_not_recorded_is_refused() -> None:
    captured = capture(two_layers(), torch.ones(1, 3), ["input"])
    with pytest.raises(ValueError, match="needs the operations of the forward pass"):
        excitation(captured, torch.zeros(1, 1, dtype=torch.long))


# ---- how it is computed ----------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["excitation", "contrastive_excitation", "guided", "deconvnet"])
def test_a_layer_asked_for_alone_gets_what_it_gets_among_others(rule: str) -> None:
    net, inputs = residual_net(), images()
    layers = ["input", "3", "4.first", "4.norm", "4.second", "4.last_norm", "4", "6.second", "6"]
    together = winning(net, inputs, TARGETS, layers, rule)
    for layer in layers:
        torch.testing.assert_close(winning(net, inputs, TARGETS, [layer], rule)[layer], together[layer])


def test_a_batch_with_many_targets_is_its_inputs_one_by_one() -> None:
    net, inputs = residual_net(), images()
    for rule in ("excitation", "contrastive_excitation"):
        together = winning(net, inputs, TARGETS, ["4"], rule)["4"]
        for n, row in enumerate(TARGETS):
            for t, target in enumerate(row):
                alone = winning(net, inputs[n : n + 1], target, ["4"], rule)["4"]
                torch.testing.assert_close(together[n, t], alone[0, 0])


def test_callers_in_inference_mode_and_memory_formats() -> None:
    net = residual_net()
    expected = winning(net, images(), TARGETS, BLOCKS)["input"]
    with torch.inference_mode():
        torch.testing.assert_close(winning(net, images(), TARGETS, BLOCKS)["input"], expected)
    net.to(memory_format=torch.channels_last)
    inputs = images().to(memory_format=torch.channels_last)
    torch.testing.assert_close(winning(net, inputs, TARGETS, BLOCKS)["input"], expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_keeps_the_mass(dtype: torch.dtype) -> None:
    net, inputs = residual_net().requires_grad_(False), images()
    expected = winning(net, inputs, TARGETS, BLOCKS)
    found = winning(net.to(dtype), inputs.to(dtype), TARGETS, BLOCKS)
    for name, p in found.items():
        assert p.dtype == torch.float32
        torch.testing.assert_close(p.flatten(2).sum(2), torch.ones(3, 2), rtol=0, atol=0.03)
        assert (p - expected[name]).norm() < 0.1 * expected[name].norm()


def test_nothing_is_left_behind() -> None:
    net, inputs = residual_net(), images()
    operations = Operations(inputs)
    with operations:
        captured = capture(net, inputs, ["input"])
    graph = weakref.ref(next(iter(operations.found.values())))
    end = captured.activations["input"]
    before = torch.autograd.grad(captured.logits.sum(), end, retain_graph=True)[0]
    excitation(captured, torch.tensor(TARGETS), "logit", operations)
    assert torch.equal(torch.autograd.grad(captured.logits.sum(), end, retain_graph=True)[0], before)
    assert count_hooks(net) == 0
    assert all(parameter.grad is None for parameter in net.parameters())
    del operations, captured, end, before
    gc.collect()
    assert graph() is None


def test_maps_say_how_much_of_the_mass_they_keep() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)).double().eval()
    with torch.no_grad():
        model[0].bias.copy_(torch.tensor([3.0, -1, 0, 2]))
        model[0].weight[0] = -model[0].weight[0].abs()  # active by its bias alone
    found = explain(model, torch.rand(2, 2, 6, 6).double(), [[0, 1], [2, 0]], "excitation", ["input", "1"])
    entry = found.select("excitation", "input")
    mass = 100 * entry.raw.sum((2, 3))
    assert mass.min() < 99
    assert entry.note.startswith(f"{mass.mean():.3g} % of the winning probability gets here")
    assert f"({mass.min():.3g} to {mass.max():.3g} %)" in entry.note
    assert found.select("excitation", "1").note.startswith("100 % of")
    assert entry.note in found.summary()
