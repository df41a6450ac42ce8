"""Guided backprop against captum, hand-computed numbers, and itself written in other ways."""

import captum.attr
import pytest
import torch
import torch.nn.functional as F
from rule_cases import Functional, count_hooks, images, rectifier_net, residual_net
from torch import Tensor, nn

from workbench.saliency.capture import capture
from workbench.saliency.rules import rule_gradients
from workbench.saliency.rules.guided import guided
from workbench.saliency.scores import SCORES

TARGETS = [[0, 3], [1, 2], [2, 0]]


def gradients(net: nn.Module, inputs: Tensor, target: object, layer: str = "input", **options: str) -> Tensor:
    return rule_gradients(net, inputs, target, [layer], ["guided"], **options)["guided"][layer][1]


def test_it_is_captum_s_at_the_input() -> None:
    net, inputs = rectifier_net(), images()
    expected = captum.attr.GuidedBackprop(net).attribute(inputs, target=[0, 1, 2])
    torch.testing.assert_close(gradients(net, inputs, TARGETS)[:, 0], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("layer", [2, 5, 8, 11])
def test_it_is_captum_s_at_a_layer_which_is_the_input_of_the_rest(layer: int) -> None:
    net, inputs = rectifier_net(), images()
    activation = net[: layer + 1](inputs).detach()
    expected = captum.attr.GuidedBackprop(net[layer + 1 :]).attribute(activation, target=[3, 2, 0])
    found = rule_gradients(net, inputs, TARGETS, [str(layer)], ["guided"])["guided"][str(layer)]
    torch.testing.assert_close(found[0], activation)
    torch.testing.assert_close(found[1][:, 1], expected, rtol=0, atol=1e-12)


def test_functions_and_modules_in_place_are_rectifiers_as_modules_are() -> None:
    net, inputs = rectifier_net(), images()
    expected = gradients(net, inputs, TARGETS)
    torch.testing.assert_close(gradients(Functional(net), inputs, TARGETS), expected)
    torch.testing.assert_close(gradients(rectifier_net(inplace=True), inputs, TARGETS), expected)


def test_two_rectifiers_by_hand() -> None:
    class ByHand(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            hidden = F.relu(x @ torch.tensor([[1.0, 2.0], [-1.0, 1.0], [3.0, -1.0]]))
            return F.relu6(hidden @ torch.tensor([[1.0, 1.0], [-3.0, 1.0]]))

    # x = (1, 1, 1): the hidden units are 3 and 2, the outputs -3 and 5, so class 1 sends (1, 1) to both, and
    # W (1, 1) = (3, 0, 2) to x. x = (1, 2, 2): hidden 5 and 2, outputs -1 and 7, cut at 6: no gradient.
    inputs = torch.tensor([[1.0, 1.0, 1.0], [1.0, 2.0, 2.0]])
    found = gradients(ByHand(), inputs, [1, 1])[:, 0]
    assert found.tolist() == [[3.0, 0.0, 2.0], [0.0, 0.0, 0.0]]


def test_a_negative_gradient_does_not_pass() -> None:
    net = nn.Sequential(nn.ReLU(), nn.Linear(3, 1, bias=False))
    net[1].weight.data = torch.tensor([[2.0, -1.0, 4.0]])
    found = gradients(net, torch.tensor([[1.0, 1.0, -1.0]]), 0)
    assert found.tolist() == [[[2.0, 0.0, 0.0]]]


@pytest.mark.parametrize("score", SCORES)
def test_the_score_is_differentiated_as_it_is(score: str) -> None:
    net, inputs = rectifier_net()[9:], torch.rand(3, 32).double()
    found = gradients(net, inputs, TARGETS, "11", score=score)
    activation = net[:3](inputs).detach().requires_grad_()
    logits = net[3](activation)  # no rectifier follows: the true gradient
    of_score = {
        "logit": lambda z: z,
        "probability": lambda z: z.softmax(1),
        "loss": lambda z: z.log_softmax(1),
    }
    expected = torch.autograd.grad(of_score[score](logits)[range(3), [3, 2, 0]].sum(), activation)[0]
    torch.testing.assert_close(found[:, 1], expected)


def test_a_batch_with_many_targets_is_its_inputs_one_by_one() -> None:
    net, inputs = residual_net(), images()
    together = gradients(net, inputs, TARGETS, "4")
    for n, row in enumerate(TARGETS):
        for t, target in enumerate(row):
            torch.testing.assert_close(together[n, t], gradients(net, inputs[n : n + 1], target, "4")[0, 0])


def test_the_graph_and_the_model_stay_as_they_were() -> None:
    net, inputs = residual_net(), images()
    captured = capture(net, inputs, ["input", "4"])
    ends = list(captured.activations.values())
    before = torch.autograd.grad(captured.logits[:, 1].sum(), ends, retain_graph=True)
    pseudo = guided(captured, torch.ones(3, 1, dtype=torch.long))
    after = torch.autograd.grad(captured.logits[:, 1].sum(), ends)
    assert not torch.equal(pseudo["input"][:, 0], before[0])
    assert all(map(torch.equal, before, after))
    assert count_hooks(net) == 0
    assert all(parameter.grad is None for parameter in net.parameters())


def test_callers_in_inference_mode_and_memory_formats() -> None:
    net = residual_net()
    expected = gradients(net, images(), TARGETS)
    with torch.inference_mode():
        torch.testing.assert_close(gradients(net, images(), TARGETS), expected)
    net.to(memory_format=torch.channels_last)
    found = gradients(net, images().to(memory_format=torch.channels_last), TARGETS)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_and_frozen_parameters(dtype: torch.dtype, frozen: bool) -> None:
    net, inputs = rectifier_net(), images()
    expected = gradients(net, inputs, TARGETS, "2")
    net.requires_grad_(not frozen).to(dtype)
    found = gradients(net, inputs.to(dtype), TARGETS, "2").double()
    assert (found - expected).norm() < 0.1 * expected.norm()


@pytest.mark.parametrize(
    ("activation", "node"),
    [(nn.GELU(), "GeluBackward0"), (nn.SiLU(), "SiluBackward0"), (nn.Sigmoid(), "SigmoidBackward0"),
     (nn.LeakyReLU(), "LeakyReluBackward0"), (nn.PReLU(), "PreluKernelBackward0"),
     (nn.Hardtanh(), "HardtanhBackward0")],
)  # fmt: skip
def test_other_activation_functions_are_refused(activation: nn.Module, node: str) -> None:
    net = nn.Sequential(nn.Linear(3, 3), activation, nn.Linear(3, 2))
    with pytest.raises(ValueError, match=f"rule 'guided' has no meaning for {node}"):
        gradients(net, torch.rand(1, 3), 0, "0")
    assert gradients(net, torch.rand(1, 3), 0, "1").shape == (1, 1, 3)  # behind it, there is none on the way
