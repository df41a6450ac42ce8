"""Maps against captum, against identities, and against themselves in other circumstances."""

import copy
import gc
import weakref
from typing import Any

import captum.attr
import pytest
import torch
from saliency_cases import CLASSES, Residual, hooks, images, network
from torch import Tensor, nn

from workbench.saliency import METHODS, Method, SaliencyMaps, explain

TRUE = [name for name, method in METHODS.items() if method.rule == "true"]
ANYWHERE = [name for name in TRUE if name not in ("cam", "norm_grad_without_virtual_layer")]
LAYERS = ["input", "stem", "first", "second"]


def raw(found: SaliencyMaps) -> dict[tuple[str, str], Tensor]:
    return {(entry.method, entry.layer): entry.raw for entry in found.maps}


def assert_same(found: SaliencyMaps, expected: SaliencyMaps, **tolerance: Any) -> None:
    one, other = raw(found), raw(expected)
    assert one.keys() == other.keys()
    for key in one:
        torch.testing.assert_close(one[key], other[key], **tolerance)


def normal_gradients(model: nn.Module, layer: str, inputs: Tensor, target: int) -> tuple[Tensor, Tensor]:
    """Activation and gradient at a block, by running the rest of the model by itself."""
    parts = list(model.named_children())
    place = [name for name, _ in parts].index(layer) + 1
    with torch.no_grad():
        x = nn.Sequential(*(part for _, part in parts[:place]))(inputs)
    x.requires_grad_()
    y = nn.Sequential(*(part for _, part in parts[place:]))(x.clone())
    return x.detach(), torch.autograd.grad(y[:, target].sum(), x)[0]


# ---- the values ------------------------------------------------------------------------------------------


def test_gradient_and_gradient_times_input_are_those_of_captum() -> None:
    model, inputs = network(), images()
    found = explain(model, inputs, [0, 1, 4], ["gradient", "gradient_times_input"], "input")
    target = torch.tensor([0, 1, 4])
    saliency = captum.attr.Saliency(model).attribute(inputs.clone().requires_grad_(), target)
    product = captum.attr.InputXGradient(model).attribute(inputs.clone().requires_grad_(), target)
    torch.testing.assert_close(found.maps[0].raw[:, 0], saliency.amax(1), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(found.maps[1].raw[:, 0], product.sum(1), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("layer", ["first", "second"])
def test_grad_cam_is_that_of_captum(layer: str) -> None:
    model, inputs = network(), images()
    peer = captum.attr.LayerGradCam(model, dict(model.named_modules())[layer])
    found = explain(model, inputs, [list(range(CLASSES))] * 3, "grad_cam", layer).maps[0].raw
    for target in range(CLASSES):
        expected = peer.attribute(inputs, target, relu_attributions=True).detach()
        torch.testing.assert_close(found[:, target : target + 1], expected, rtol=1e-6, atol=1e-6)
    assert (found > 0).float().mean() > 0.1


def test_each_formula_is_what_it_says() -> None:
    model, inputs = network(), images()
    x, g = normal_gradients(model, "first", inputs, 2)
    mean = g.mean(dim=(2, 3), keepdim=True)
    expected = {
        "gradient": g.abs().amax(1),
        "gradient_norm": g.norm(dim=1),
        "gradient_times_input": (x * g).sum(1),
        "linear_approximation": (x * g).sum(1),
        "grad_cam": (x * mean).sum(1).clamp(min=0),
        "hires_cam": (x * g).sum(1),
        "layer_cam": (x * g.clamp(min=0)).sum(1).clamp(min=0),
        "norm_grad": x.norm(dim=1) * g.norm(dim=1),
        "norm_grad_selective": (x * g).clamp(min=0).norm(dim=1),
    }
    found = explain(model, inputs, 2, ANYWHERE, "first")
    assert set(expected) == set(ANYWHERE) == set(found.methods)
    for name, values in expected.items():
        torch.testing.assert_close(found.select(name, "first").raw[:, 0], values)


def test_norm_grad_without_virtual_layer_multiplies_what_enters_the_convolution() -> None:
    model, inputs = network(), images()
    found = explain(model, inputs, 2, "norm_grad_without_virtual_layer", "first.conv1").maps[0].raw[:, 0]
    relu = model.stem(inputs).clamp(min=0)
    conv = model.first.conv1
    with torch.no_grad():
        output = conv(relu)
    output.requires_grad_()
    rest = model.first.conv2(model.first.norm(output).clamp(min=0)) + model.first.short(relu)
    logits = model.head(model.second(rest.clamp(min=0)).mean(dim=(2, 3)))
    g = torch.autograd.grad(logits[:, 2].sum(), output)[0]
    patches = nn.functional.unfold(relu, 3, padding=1, stride=2).unflatten(2, g.shape[2:])
    torch.testing.assert_close(found, patches.norm(dim=1).detach() * g.norm(dim=1))


@pytest.mark.parametrize("layer", ["input", "first"])
def test_a_pair_of_the_grid_and_a_method_of_ones_own(layer: str) -> None:
    model, inputs = network(), images()
    own = Method("own", "true", "conv1x1", "positive_norm", gradient="positive")
    found = explain(model, inputs, 1, [("conv1x1", "norm"), own, "norm_grad"], layer)
    assert found.methods == ("conv1x1+norm", "own", "norm_grad")
    assert torch.equal(found.maps[0].raw, found.maps[2].raw)
    x, g = (inputs, None) if layer == "input" else normal_gradients(model, layer, inputs, 1)
    if g is not None:
        expected = x.clamp(min=0).norm(dim=1) * g.clamp(min=0).norm(dim=1)
        torch.testing.assert_close(found.maps[1].raw[:, 0], expected)


# ---- identities ------------------------------------------------------------------------------------------


def piecewise_linear() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, bias=False), nn.ReLU(inplace=True), nn.Flatten(),
        nn.Linear(8 * 36, CLASSES, bias=False),
    ).double().eval()  # fmt: skip


def test_without_biases_linear_approximations_add_up_to_the_logit_at_every_layer() -> None:
    model, inputs = piecewise_linear(), images()
    found = explain(model, inputs, [0, 3, 4], "linear_approximation", ["input", "0", "1", "2", "3", "4"])
    for entry in found.maps:
        torch.testing.assert_close(entry.raw.sum(dim=(2, 3)), found.scores, rtol=1e-10, atol=1e-10)


def test_linear_approximation_is_never_larger_than_norm_grad() -> None:
    found = explain(network(), images(), 1, ["linear_approximation", "norm_grad"], LAYERS)
    for layer in LAYERS:
        linear, norm = (found.select(name, layer).raw for name in found.methods)
        assert (linear.abs() <= norm * (1 + 1e-12)).all()
        assert norm.max() > 0


def test_before_average_and_linear_layer_the_cams_are_one() -> None:
    model, inputs = network(), images()
    found = explain(model, inputs, 2, ["cam", "grad_cam", "hires_cam", "gradient", "norm_grad"], "second")
    cam, grad_cam, hires, gradient, norm = (entry.raw[:, 0] for entry in found.maps)
    x, _ = normal_gradients(model, "second", inputs, 2)
    locations = x.shape[2] * x.shape[3]
    w = model.head.weight.detach()[2]
    torch.testing.assert_close(cam, torch.einsum("nchw,c->nhw", x, w))
    torch.testing.assert_close(grad_cam, cam.clamp(min=0) / locations)
    torch.testing.assert_close(grad_cam, hires.clamp(min=0))
    torch.testing.assert_close(gradient, (w.abs().max() / locations).expand_as(gradient))
    torch.testing.assert_close(norm, x.norm(dim=1) * w.norm() / locations)


def test_cam_elsewhere_is_refused() -> None:
    with pytest.raises(ValueError, match="method 'cam' at layer 'first': the gradient varies over space"):
        explain(network(), images(), 2, "cam", "first")


@pytest.mark.parametrize("score", ["probability", "loss"])
def test_other_scores_are_those_of_a_model_that_ends_in_them(score: str) -> None:
    model, inputs = network(), images()
    longer = nn.Sequential(*model, nn.Softmax(1) if score == "probability" else nn.LogSoftmax(1))
    found = explain(model, inputs, 2, ANYWHERE, "first", score)
    expected = explain(longer, inputs, 2, ANYWHERE, "2")
    torch.testing.assert_close(found.scores, expected.scores)
    for one, other in zip(found.maps, expected.maps, strict=True):
        torch.testing.assert_close(one.raw, other.raw)


# ---- batches, targets, layers ----------------------------------------------------------------------------


def test_a_batch_is_its_inputs_one_by_one() -> None:
    model, inputs = network(), images(40)  # several portions
    targets = torch.arange(40) % CLASSES
    found = explain(model, inputs, targets, ANYWHERE, LAYERS)
    for n in (0, 17, 39):
        alone = explain(model, inputs[n : n + 1], targets[n], ANYWHERE, LAYERS)
        for key, values in raw(alone).items():
            torch.testing.assert_close(raw(found)[key][n : n + 1], values, rtol=1e-9, atol=1e-12)


def test_many_targets_are_their_explanations_one_by_one_and_share_the_forward_pass() -> None:
    model, inputs = network(), images()
    calls = []
    model.register_forward_hook(lambda *_: calls.append(1))
    found = explain(model, inputs, [[0, 1, 4], [2, 0, 1], [3, 3, 2]], ANYWHERE, LAYERS)
    assert len(calls) == 1
    assert (found.forwards, found.backwards) == (1, 3)
    for t, target in enumerate(([0, 2, 3], [1, 0, 3], [4, 1, 2])):
        alone = explain(model, inputs, target, ANYWHERE, LAYERS)
        for key, values in raw(alone).items():
            torch.testing.assert_close(raw(found)[key][:, t : t + 1], values)


def test_no_target_means_the_predicted_class() -> None:
    model, inputs = network(), images()
    found = explain(model, inputs, methods="gradient", layers="input")
    assert found.targets.tolist() == model(inputs).argmax(1, keepdim=True).tolist()
    assert_same(found, explain(model, inputs, model(inputs).argmax(1), "gradient", "input"))


def test_all_methods_at_all_layers_cost_one_backward_pass_that_makes_no_parameter_gradients() -> None:
    model, inputs = network(), images()
    passes: dict[str, int] = dict.fromkeys(("head", "second"), 0)

    def count(name: str) -> Any:
        def forward_hook(module: nn.Module, arguments: Any, output: Tensor) -> None:
            output.register_hook(lambda gradient: passes.update({name: passes[name] + 1}))

        return forward_hook

    for name in passes:
        dict(model.named_modules())[name].register_forward_hook(count(name))
    explain(model, inputs, 0, ANYWHERE, LAYERS)
    assert passes == {"head": 1, "second": 1}
    assert all(parameter.grad is None for parameter in model.parameters())
    passes.update(dict.fromkeys(passes, 0))


def test_a_request_for_one_layer_goes_back_no_further() -> None:
    model = network()
    before: list[bool] = []
    model.first.register_forward_hook(lambda module, x, y: before.append(y.requires_grad))
    explain(model, images(), 0, ANYWHERE, "second")
    assert before == [False]


# ---- circumstances ---------------------------------------------------------------------------------------


def test_frozen_parameters_make_no_difference() -> None:
    model, inputs = network(), images()
    expected = explain(model, inputs, 1, ANYWHERE, LAYERS)
    frozen = copy.deepcopy(model).requires_grad_(False)
    assert_same(explain(frozen, inputs, 1, ANYWHERE, LAYERS), expected)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_callers_without_gradients_are_served(mode: Any) -> None:
    model, inputs = network(), images()
    expected = explain(model, inputs, [0, 1, 2], ANYWHERE, LAYERS)
    with mode():
        own = images()  # an inference tensor in inference mode
        found = explain(model, own, torch.tensor([0, 1, 2]), ANYWHERE, LAYERS)
        assert explain(model, own, 1, "gradient").maps
    assert_same(found, expected)
    assert not any(entry.raw.requires_grad for entry in found.maps)


def test_channels_last_makes_no_difference() -> None:
    model, inputs = network(), images()
    expected = explain(model, inputs, 1, ANYWHERE, LAYERS)
    strided = copy.deepcopy(model).to(memory_format=torch.channels_last)
    found = explain(strided, inputs.to(memory_format=torch.channels_last), 1, ANYWHERE, LAYERS)
    assert_same(found, expected)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 0.02), (torch.bfloat16, 0.15)])
def test_half_precision_gives_single_precision_maps_that_are_near(
    dtype: torch.dtype, tolerance: float
) -> None:
    model, inputs = network(), images()
    expected = explain(model, inputs, 1, ANYWHERE, LAYERS)
    found = explain(copy.deepcopy(model).to(dtype), inputs.to(dtype), 1, ANYWHERE, LAYERS)
    for key, values in raw(found).items():
        assert values.dtype == torch.float32
        error = (values - raw(expected)[key]).norm() / raw(expected)[key].norm()
        assert error < tolerance, key


def test_in_place_modules_make_no_difference() -> None:
    model, inputs = network(), images()
    layers = ["input", "stem", "relu", "first.norm", "first.conv2", "second.short", "second"]
    found = explain(model, inputs, 1, ANYWHERE, layers)
    plain = copy.deepcopy(model)
    plain.relu.inplace = False
    for block in (plain.first, plain.second):
        block.forward = _out_of_place.__get__(block)
    assert_same(found, explain(plain, inputs, 1, ANYWHERE, layers))


def _out_of_place(self: Residual, x: Tensor) -> Tensor:
    y = self.conv2(self.norm(self.conv1(x)).relu())
    return (y + self.short(x)).relu()


def test_hooks_and_modes_are_as_before_also_when_the_model_raises() -> None:
    model = network()
    explain(model, images(), 0, ANYWHERE, LAYERS)
    explain(model, images(), 0, "gradient")
    assert hooks(model) == 0
    with pytest.raises(RuntimeError):
        explain(model, images()[:, :1], 0, ANYWHERE, LAYERS)
    with pytest.raises(RuntimeError):
        explain(model, images()[:, :1])
    assert hooks(model) == 0


def test_nothing_outlives_the_call_but_the_result() -> None:
    model, inputs = network(dtype=torch.float32), images(1, dtype=torch.float32)
    alive: list[weakref.ref[Tensor]] = []
    model.second.register_forward_hook(lambda module, x, y: alive.append(weakref.ref(y)))

    def tensors() -> int:
        # isinstance would ask what a weak proxy stands for, and other tests leave dead ones.
        return sum(issubclass(type(each), Tensor) for each in gc.get_objects())

    gc.collect()
    gc.disable()  # nothing may wait for the collector: there are no cycles
    try:
        found = explain(model, inputs, [[0, 1]], ["gradient", "norm_grad"], ["input", "second"])
        before = tensors()
        for _ in range(200):
            found = explain(model, inputs, [[0, 1]], ["gradient", "norm_grad"], ["input", "second"])
        assert not any(reference() is not None for reference in alive)
        assert tensors() == before
        assert found.maps
    finally:
        gc.enable()


class Overwriting(nn.Module):
    """Normalises its inputs in place."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x.sub_(1)).relu_().mean(dim=(2, 3))


@pytest.mark.parametrize("layers", ["input", "conv", None])
def test_a_model_that_overwrites_its_inputs_does_not_overwrite_the_callers(layers: str | None) -> None:
    inputs = images()
    found = explain(Overwriting().double().eval(), inputs, 0, "linear_approximation", layers)
    assert torch.equal(inputs, images())
    assert found.inputs is not None
    assert torch.equal(found.inputs, images())


# ---- refusals --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"methods": "gradcam"}, ValueError, "did you mean 'grad_cam'"),
        ({"methods": [Method("own", "guide", "bias", "sum")]}, ValueError, "did you mean 'guided'"),
        ({"methods": []}, ValueError, "methods is empty"),
        ({"methods": ["gradient", "gradient"]}, ValueError, "given twice"),
        ({"methods": 3}, TypeError, "int"),
        ({"methods": [("scale", "sum")]}, ValueError, "did you mean 'scaling'"),
        ({"layers": []}, ValueError, "layers is empty"),
        ({"layers": "firts"}, ValueError, "did you mean 'first'"),
        ({"layers": "head"}, ValueError, r"'head' returns \(3, 5\), not \(N, C, h, w\)"),
        ({"target": 5}, ValueError, "classes are 0 to 4"),
        ({"score": "logits"}, ValueError, "did you mean 'logit'"),
        ({"combine": "mean"}, ValueError, "combine='mean'"),
        ({"methods": "norm_grad_without_virtual_layer", "layers": "first"}, ValueError, "a Residual"),
        ({"methods": "norm_grad_without_virtual_layer", "layers": "input"}, ValueError, "at the input"),
    ],
)
def test_what_cannot_be_explained_is_refused_in_one_line(arguments: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        explain(network(), images(), **arguments)
    assert "\n" not in str(caught.value)


def test_inputs_that_are_none_are_refused() -> None:
    with pytest.raises(TypeError, match="inputs is a list: pass a tensor"):
        explain(network(), [images()])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="inputs is empty"):
        explain(network(), images()[:0])


def test_train_mode_is_refused() -> None:
    with pytest.raises(ValueError, match=r"train mode.*call model.eval\(\) first"):
        explain(network().train(), images())


class Detached(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 1)
        self.second = nn.Conv2d(3, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        self.first(x)
        return self.second(x).mean(dim=(2, 3))


def test_a_layer_that_the_score_does_not_depend_on_is_refused() -> None:
    model = Detached().double().eval()
    for layers in (["first"], ["first", "second"]):
        with pytest.raises(ValueError, match="the score does not depend on layer 'first'"):
            explain(model, images(), 0, "gradient", layers)


def test_layers_of_one_shape_get_the_maps_that_each_gets_alone() -> None:
    torch.manual_seed(0)
    body = [layer for _ in range(3) for layer in (nn.Conv2d(3, 3, 3, padding=1), nn.Tanh())]
    model = nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, CLASSES)).double().eval()
    layers = ["input", "1", "3", "5"]  # of one shape, the last with a flat gradient
    together = explain(model, images(), [[0, 2]] * 3, ANYWHERE, layers)
    for layer in layers:
        alone = explain(model, images(), [[0, 2]] * 3, ANYWHERE, layer)
        for entry in alone.maps:
            same = together.select(entry.method, layer)
            torch.testing.assert_close(same.raw, entry.raw)
            assert same.reason == entry.reason
    assert {entry.layer for entry in together.maps if entry.class_blind} == {"5"}
