"""What is noted of a forward pass, and how each operation shares what comes back."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from workbench.saliency.rules.operations import Addition, LinearMap, Operation, Operations, Passage


def noted(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, list[Operation]]:
    with Operations(x) as operations:
        output = function(x.clone().requires_grad_())
    return output, list(operations.found.values())


WEIGHT = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("function", "shape"),
    [(lambda x: F.linear(x, WEIGHT, WEIGHT[:, 0]), (2, 4)), (lambda x: F.linear(x, WEIGHT), (2, 4)),
     (lambda x: F.linear(input=x, weight=WEIGHT, bias=WEIGHT[:, 0]), (2, 3, 4)),
     (lambda x: F.conv1d(x, WEIGHT[:, :, None]), (2, 4, 3)),
     (lambda x: torch.conv2d(x, WEIGHT[:, :, None, None], stride=2), (2, 4, 3, 3)),
     (lambda x: F.conv2d(x, WEIGHT[:4, :1, None, None], groups=4, padding="same"), (2, 4, 3, 3)),
     (lambda x: F.conv3d(x, WEIGHT[:, :, None, None, None]), (2, 4, 3, 3, 3)),
     (lambda x: F.avg_pool1d(x, 2), (2, 3, 4)), (lambda x: F.avg_pool2d(x, 2, padding=1), (2, 3, 4, 4)),
     (lambda x: F.avg_pool3d(x, 2), (2, 3, 4, 4, 4)), (lambda x: F.adaptive_avg_pool1d(x, 2), (2, 3, 4)),
     (lambda x: F.adaptive_avg_pool2d(x, 1), (2, 3, 4, 4)),
     (lambda x: F.adaptive_avg_pool2d(x, 3), (2, 3, 4, 4)),
     (lambda x: F.adaptive_avg_pool3d(x, 2), (2, 3, 4, 4, 4)), (lambda x: x.mean(1), (2, 4)),
     (lambda x: torch.sum(x, dim=1), (2, 4)), (lambda x: x.mean(), (2, 4))],
)  # fmt: skip
def test_a_linear_map_shares_by_its_positive_contributions(
    function: Callable[[Tensor], Tensor], shape: tuple[int, ...]
) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    output, notes = noted(function, x)
    (found,) = (each for each in notes if isinstance(each, LinearMap))  # a bias may be one of its own
    p = torch.rand(output.shape, generator=torch.Generator().manual_seed(2))
    weights = torch.autograd.functional.jacobian(function, x).reshape(p.numel(), x.numel())
    contributions = weights.clamp(min=0) * x.flatten().clamp(min=0)
    sums = contributions.sum(1, keepdim=True)
    expected = p.flatten() @ torch.where(sums > 0, contributions / sums, 0)
    torch.testing.assert_close(found.share(p), expected.reshape(shape))
    torch.testing.assert_close(found.share(2 * p), 2 * found.share(p))  # what it keeps does not change


def test_negated_weights_share_by_what_inhibits() -> None:
    x = torch.tensor([[1.0, 2.0, 3.0]])
    _, (found,) = noted(lambda x: F.linear(x, torch.tensor([[4.0, -1.0, -2.0]])), x)
    assert isinstance(found, LinearMap)
    torch.testing.assert_close(found.share(torch.ones(1, 1)), torch.tensor([[1.0, 0.0, 0.0]]))
    torch.testing.assert_close(found.share(torch.ones(1, 1), negated=True), torch.tensor([[0.0, 0.25, 0.75]]))


@pytest.mark.parametrize(
    "add",
    [
        lambda a, b: a + b,
        torch.add,
        lambda a, b: a.add(b),
        lambda a, b: a.add_(b),
        lambda a, b: torch.add(b, a),
    ],
)
def test_an_addition_shares_by_the_positive_parts_before_it(add: Callable[[Tensor, Tensor], Tensor]) -> None:
    x = torch.tensor([[3.0, -1.0, -1.0], [1.0, 2.0, -1.0]], requires_grad=True)
    with Operations(x) as operations:
        first, second = x[0].clone(), x[1].clone()
        output = add(first, second)
    (found,) = operations.found.values()
    assert isinstance(found, Addition)
    output.grad_fn.register_hook(found.replacement)
    (p,) = torch.autograd.grad(output, x, torch.ones(3))
    assert p.tolist() == [[0.75, 0.0, 0.0], [0.25, 1.0, 0.0]]


def test_an_addition_that_broadcasts_collects_its_shares() -> None:
    x = torch.ones(2, 3, requires_grad=True)
    with Operations(x) as operations:
        row = 1.5 * x.sum(0)
        output = x + row
    output.grad_fn.register_hook(operations.found[output.grad_fn].replacement)
    found = torch.autograd.grad(output, [x, row], torch.ones(2, 3))
    assert found[1].tolist() == [1.5] * 3
    torch.testing.assert_close(found[0], torch.full((2, 3), 0.25 + 1.5 * 1.5))  # the row's part is 1.5 x


def test_a_branch_that_no_gradient_goes_through_gets_its_share_too() -> None:
    x = torch.ones(3)
    with Operations(x) as operations:
        branch = (2 * x).requires_grad_()
        output = branch + x
    output.grad_fn.register_hook(operations.found[output.grad_fn].replacement)
    torch.testing.assert_close(torch.autograd.grad(output, branch, torch.ones(3))[0], torch.full((3,), 2 / 3))


@pytest.mark.parametrize(
    "add",
    [
        lambda x: x + 1,
        lambda x: 1 + x,
        lambda x: x + torch.ones(3),
        lambda x: x + torch.nn.Parameter(torch.ones(3)),
    ],
)
def test_a_constant_that_is_added_gets_nothing(add: Callable[[Tensor], Tensor]) -> None:
    _, (found,) = noted(add, torch.ones(3))
    assert isinstance(found, Passage)


def test_a_norm_is_folded_into_the_layer_in_front_of_it_only() -> None:
    def norm(x: Tensor) -> Tensor:
        return F.batch_norm(x, torch.ones(5), torch.ones(5), torch.tensor([1.0, -2, 3, -4, 5]), torch.ones(5))

    x = torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(1))
    _, (layer, passage) = noted(lambda x: norm(F.conv2d(x, WEIGHT[:, :, None, None])), x)
    assert isinstance(layer, LinearMap)
    assert isinstance(passage, Passage)
    assert layer.sign is not None
    assert layer.sign.tolist() == [1, -1, 1, -1, 1]
    _, (_, own) = noted(lambda x: norm(F.conv2d(x, WEIGHT[:, :, None, None]).relu()), x)
    assert isinstance(own, LinearMap)


def test_what_has_no_rule_is_not_noted() -> None:
    _, found = noted(lambda x: F.gelu(x * x) - x.softmax(0), torch.ones(3))
    assert not found
