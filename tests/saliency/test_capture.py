"""One forward pass with recorded layers: nothing is left behind, overwritten, or built without need."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from saliency_cases import hooks, images, network
from torch import Tensor, nn

from workbench.saliency import explain, meta_saliency
from workbench.saliency.capture import capture


def test_activations_are_what_the_layers_return_although_what_follows_works_in_place() -> None:
    model, inputs = network(), images()
    stem = nn.functional.conv2d(inputs, model.stem.weight, model.stem.bias, padding=1)
    captured = capture(model, inputs, ["stem", "relu", "first.conv2"])
    torch.testing.assert_close(captured.activations["stem"], stem)
    torch.testing.assert_close(captured.activations["relu"], stem.clamp(min=0))
    torch.testing.assert_close(captured.logits, model(inputs))
    assert (captured.activations["stem"] < 0).any()
    assert tuple(captured.activations) == ("stem", "relu", "first.conv2")


def test_gradients_are_those_at_the_layer_and_not_behind_the_module_that_overwrites_it() -> None:
    model, inputs = network(), images()
    captured = capture(model, inputs, ["input", "stem", "relu"])
    at_input, at_stem, at_relu = torch.autograd.grad(
        captured.logits[:, 1].sum(), list(captured.activations.values())
    )
    stem = captured.activations["stem"]
    torch.testing.assert_close(at_stem, at_relu * (stem > 0))
    back = nn.functional.conv_transpose2d(at_stem, model.stem.weight, padding=1)
    torch.testing.assert_close(at_input, back)


def test_no_graph_is_built_before_the_first_of_the_layers() -> None:
    model = network()
    seen = {}
    model.stem.register_forward_hook(lambda module, x, y: seen.update(stem=y.requires_grad))
    model.second.register_forward_hook(lambda module, x, y: seen.update(second=y.requires_grad))
    captured = capture(model, images(), ["second", "first"])
    assert seen == {"stem": False, "second": True}
    assert captured.activations["first"].is_leaf
    assert not captured.activations["second"].is_leaf


def test_with_no_layers_there_is_no_graph_at_all() -> None:
    assert not capture(network(), images(), []).logits.requires_grad


def test_inputs_are_left_alone() -> None:
    inputs = images().requires_grad_()
    captured = capture(network(), inputs, ["input"])
    captured.logits.sum().backward(inputs=list(captured.activations.values()))
    assert inputs.grad is None
    assert captured.activations["input"] is not inputs


def test_what_enters_a_layer_is_kept_on_request() -> None:
    model, inputs = network(), images()
    captured = capture(model, inputs, ["stem", "first.conv1"], entering=["first.conv1"])
    assert tuple(captured.entering) == ("first.conv1",)
    torch.testing.assert_close(captured.entering["first.conv1"], captured.activations["stem"].clamp(min=0))


class Failing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("broken")


def test_no_hook_and_no_mode_is_left_when_the_model_raises() -> None:
    model = network()
    model.head = Failing()
    for mode in (torch.no_grad, torch.enable_grad):
        with mode():
            before = torch.is_grad_enabled()
            with pytest.raises(RuntimeError, match="broken"):
                capture(model, images(), ["first", "stem"])
            assert hooks(model) == 0
            assert torch.is_grad_enabled() == before


def test_no_hook_is_left_when_it_goes_well() -> None:
    model = network()
    capture(model, images(), ["first", "stem", "input"])
    assert hooks(model) == 0


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.unused = nn.ReLU()
        self.tuple = Pair()

    def forward(self, x: Tensor) -> Tensor:
        return self.tuple(self.relu(self.relu(x)))[0].flatten(1)


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fist", "layer 'fist' is none of the model's 17 modules; did you mean 'first'?"),
        ("imput", "did you mean 'input'?"),
        ("", "layer '' is none"),
    ],
)
def test_unknown_layers_are_refused_with_the_nearest(name: str, message: str) -> None:
    with pytest.raises(ValueError, match="layer") as caught:
        capture(network(), images(), [name])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_layers_that_cannot_be_recorded_are_refused() -> None:
    model = Twice()
    for name, message in [
        ("relu", "runs more than once"),
        ("unused", "does not run"),
        ("tuple", "returns a tuple, not a tensor"),
    ]:
        with pytest.raises(ValueError, match=message):
            capture(model, images(), [name])
        assert hooks(model) == 0
    with pytest.raises(ValueError, match="named twice"):
        capture(network(), images(), ["stem", "stem"])


def test_inputs_without_a_gradient_can_still_be_seen_from_the_first_layer_with_one() -> None:
    model = nn.Sequential(nn.Embedding(7, 4), nn.Flatten(), nn.Linear(12, 3))
    codes = torch.tensor([[1, 2, 3]])
    with pytest.raises(ValueError, match=r"'input' is torch.int64, which has no gradient"):
        capture(model, codes, ["input"])
    assert capture(model, codes, ["0"]).activations["0"].shape == (1, 3, 4)


def test_parameters_made_in_inference_mode_are_refused() -> None:
    with torch.inference_mode():
        model = network()
    with pytest.raises(ValueError, match="made in inference mode"):
        capture(model, images(), ["first"])


class Backbone(nn.Module):
    """A network whose first part runs without gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            x = self.body(x)
        return self.head(x.mean((2, 3)))


@pytest.mark.parametrize("layer", ["body", "input"])
def test_a_layer_within_no_grad_is_refused_in_one_line(layer: str) -> None:
    model = Backbone().double().requires_grad_(False).eval()
    with pytest.raises(ValueError, match=f"the score does not depend on layer '{layer}': is there a no_grad"):
        capture(model, images(), [layer])


class Named(nn.Module):
    """A convolution that is called by keyword."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 3, 3, padding=1)
        self.head = nn.Linear(3, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(input=x).mean((2, 3)))


def test_what_enters_a_layer_by_keyword_is_refused_and_not_taken_for_what_leaves_it() -> None:
    model = Named().double().eval()
    with pytest.raises(ValueError, match="layer 'body' is called without a tensor in the first place"):
        explain(model, images(), methods="norm_grad_without_virtual_layer", layers="body")
    with pytest.raises(ValueError, match="layer 'body' is called without a tensor in the first place"):
        meta_saliency(model, images(), 0, "norm_grad_without_virtual_layer", "body")
    assert meta_saliency(model, images(), 0, "norm_grad", "body").maps.isfinite().all()


class Dropping(nn.Module):
    """Drops out in eval mode, too: ``F.dropout`` trains unless it is told not to."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(self.body(x)).mean((2, 3))


def test_a_forward_pass_that_is_random_is_told() -> None:
    with pytest.warns(UserWarning, match="random numbers were drawn during a forward pass"):
        explain(Dropping().double().eval(), images(), 0, "gradient", "body")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explain(network(), images(), 0, "gradient", "first")
