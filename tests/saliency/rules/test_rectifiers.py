"""Which nodes of the autograd graph are rectifiers."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from workbench.graph import nodes_between
from workbench.saliency.rules.rectifiers import is_rectifier, rectifiers


def node_of(function: Callable[[Tensor], Tensor]) -> object:
    return function(torch.randn(3, requires_grad=True).clone()).grad_fn


@pytest.mark.parametrize(
    "function",
    [F.relu, F.relu_, torch.relu, Tensor.relu_, nn.ReLU(), nn.ReLU(inplace=True), F.relu6,
     nn.ReLU6(inplace=True), lambda x: F.hardtanh(x, 0, 1), lambda x: x.clamp(min=0),
     lambda x: x.clamp_min(0), lambda x: x.clamp(0, 4), lambda x: F.threshold(x, 0, 0)],
)  # fmt: skip
def test_rectifiers(function: Callable[[Tensor], Tensor]) -> None:
    assert is_rectifier(node_of(function))


@pytest.mark.parametrize(
    "function",
    [F.gelu, F.silu, F.elu, F.mish, torch.tanh, torch.sigmoid, F.softplus, F.leaky_relu, F.hardswish,
     F.hardtanh, F.hardsigmoid, F.logsigmoid, lambda x: x.clamp(min=-1), lambda x: x.clamp(max=1),
     lambda x: F.threshold(x, 1, 0), F.celu, F.selu, F.glu, F.softshrink, F.hardshrink],
)  # fmt: skip
def test_other_activation_functions_are_none_and_are_refused(function: Callable[[Tensor], Tensor]) -> None:
    leaf = torch.randn(4, requires_grad=True)
    output = function(leaf.clone())
    assert not is_rectifier(output.grad_fn)
    with pytest.raises(ValueError, match=r"rule 'guided' has no meaning for \w+Backward"):
        rectifiers(nodes_between(output, [leaf]), "guided")


def test_linear_operations_are_neither() -> None:
    leaf = torch.randn(2, 4, requires_grad=True)
    output = F.layer_norm(nn.Linear(4, 4)(leaf), (4,)).softmax(1).relu()
    assert [node.name() for node in rectifiers(nodes_between(output, [leaf]), "guided")] == ["ReluBackward0"]


def test_a_reentrant_checkpoint_is_refused_and_the_other_kind_is_seen_through() -> None:
    leaf = torch.randn(4, requires_grad=True)
    output = checkpoint(torch.relu, leaf, use_reentrant=False)
    assert len(rectifiers(nodes_between(output, [leaf]), "guided")) == 1
    output = checkpoint(torch.relu, leaf, use_reentrant=True)
    with pytest.raises(ValueError, match="cannot see what is in CheckpointFunctionBackward"):
        rectifiers(nodes_between(output, [leaf]), "guided")


class Rectifier(torch.autograd.Function):
    """What it is, only its author knows."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.relu()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient * (ctx.saved_tensors[0] > 0)


def test_custom_functions_hide_what_they_are() -> None:
    leaf = torch.randn(4, requires_grad=True)
    with pytest.raises(ValueError, match="cannot see what is in RectifierBackward"):
        rectifiers(nodes_between(Rectifier.apply(leaf), [leaf]), "guided")


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_scripted_model_hides_its_rectifiers() -> None:
    net = torch.jit.script(nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2)))
    leaf = torch.rand(1, 3, requires_grad=True)
    for _ in range(3):  # it is compiled after a few calls
        output = net(leaf)
    with pytest.raises(ValueError, match="cannot see what is in torch::jit"):
        rectifiers(nodes_between(output, [leaf]), "guided")


@pytest.mark.parametrize(
    "function",
    [lambda x: torch.maximum(x, torch.zeros_like(x)), lambda x: torch.where(x > 0, x, 0),
     lambda x: x.clamp(min=torch.zeros(())), lambda x: torch.clamp_min(x, torch.zeros(()))],
)  # fmt: skip
def test_a_rectifier_that_is_written_in_another_way_is_refused_and_not_passed_by(
    function: Callable[[Tensor], Tensor],
) -> None:
    leaf = torch.randn(4, requires_grad=True)
    with pytest.raises(ValueError, match=r"rule 'guided' has no meaning for \w+Backward"):
        rectifiers(nodes_between(function(leaf.clone()), [leaf]), "guided")
