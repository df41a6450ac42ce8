"""Rules on nodes of a graph: in force during the pass, gone after it."""

import pytest
import torch

from workbench.saliency.rules.propagation import Gradients, propagate, replaced


def double(inputs: Gradients, outputs: Gradients) -> Gradients:
    assert inputs[0] is not None
    return replaced(inputs, 2 * inputs[0])


def test_a_node_follows_its_rule_and_the_others_the_true_gradient() -> None:
    x = torch.tensor([[1.0, 2.0]], requires_grad=True)
    squared = x.square()
    output = squared.exp()
    seeds = [torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 3.0]])]
    found = propagate(output, seeds, {"x": x, "squared": squared}, {squared.grad_fn: double})
    torch.testing.assert_close(
        found["squared"], torch.stack([seed * output.detach() for seed in seeds], dim=1)
    )
    torch.testing.assert_close(found["x"], 2 * 2 * x.detach()[:, None] * found["squared"])
    true = torch.autograd.grad(output, x, seeds[1])[0]
    torch.testing.assert_close(found["x"][:, 1], 2 * true)


def test_the_rules_are_gone_also_when_one_raises() -> None:
    def refuse(inputs: Gradients, outputs: Gradients) -> Gradients:
        raise ArithmeticError("no")

    x = torch.ones(1, requires_grad=True)
    middle = x * 3
    output = middle * 5
    with pytest.raises(ArithmeticError):
        propagate(output, [torch.ones(1)], {"x": x}, {output.grad_fn: double, middle.grad_fn: refuse})
    assert torch.autograd.grad(output, x)[0].item() == 15


def test_an_activation_that_the_outputs_do_not_depend_on_is_refused() -> None:
    x, other = torch.ones(1, requires_grad=True), torch.ones(1, requires_grad=True)
    with pytest.raises(ValueError, match="the outputs do not depend on layer 'other'"):
        propagate(x * 2, [torch.ones(1)], {"x": x, "other": other}, {})


def test_a_replacement_takes_shape_and_precision_of_what_it_replaces() -> None:
    old = (None, torch.zeros(2, 3, dtype=torch.float16))
    (nothing, new) = replaced(old, torch.arange(6.0), 1)
    assert nothing is None
    assert new is not None
    assert new.dtype == torch.float16
    assert new.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert replaced(old, torch.arange(6.0), 0) is old
