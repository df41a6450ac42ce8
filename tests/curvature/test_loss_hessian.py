"""Closed forms of the loss' Hessian against double backward."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.curvature.operators.autograd import hessian_product
from workbench.curvature.operators.loss_hessian import loss_hessian

INDICES = torch.tensor([0, 2, -100, 1])
WEIGHTS = torch.tensor([0.3, 1.0, 2.5], dtype=torch.float64)
CROSS_ENTROPIES = {
    "mean": nn.CrossEntropyLoss(),
    "sum": nn.CrossEntropyLoss(reduction="sum"),
    "weights": nn.CrossEntropyLoss(weight=WEIGHTS),
    "smoothing": nn.CrossEntropyLoss(label_smoothing=0.2),
    "weights and smoothing": nn.CrossEntropyLoss(weight=WEIGHTS, label_smoothing=0.2),
    "function": F.cross_entropy,
}


def check(loss: Callable[..., Tensor], outputs: Tensor, targets: Tensor, *, closed: bool) -> None:
    outputs = outputs.double().requires_grad_()
    value = loss(outputs, targets)
    product, truth = loss_hessian(loss, value, [outputs], targets), hessian_product(value, [outputs])
    assert (product.func is not truth.func) == closed  # type: ignore[attr-defined]
    vectors = torch.randn(3, *outputs.shape, dtype=torch.float64)
    torch.testing.assert_close(product([vectors], batched=True), truth([vectors], batched=True))
    torch.testing.assert_close(product([vectors[1]], batched=False), truth([vectors[1]], batched=False))


@pytest.mark.parametrize("name", CROSS_ENTROPIES)
def test_softmax(name: str) -> None:
    check(CROSS_ENTROPIES[name], torch.randn(4, 3), INDICES, closed=True)


def test_softmax_at_several_positions_and_of_a_single_example() -> None:
    check(nn.CrossEntropyLoss(), torch.randn(2, 3, 4), torch.randint(0, 3, (2, 4)), closed=True)
    check(nn.CrossEntropyLoss(), torch.randn(3), torch.tensor(1), closed=True)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_squares(reduction: str) -> None:
    check(nn.MSELoss(reduction=reduction), torch.randn(4, 3), torch.randn(4, 3), closed=True)


def test_all_else_is_differentiated() -> None:
    soft = torch.rand(4, 3, dtype=torch.float64).softmax(dim=1)
    check(nn.CrossEntropyLoss(), torch.randn(4, 3), soft, closed=False)
    check(nn.HuberLoss(), torch.randn(4, 3), torch.randn(4, 3).double(), closed=False)
    check(lambda a, b: (a - b).pow(4).sum(), torch.randn(4, 3), torch.randn(4, 3), closed=False)


def test_a_confident_softmax_keeps_its_digits() -> None:
    logits = torch.randn(50, 10, dtype=torch.float64)
    logits[:, 3] += 14  # a probability within 1e-5 of 1
    vector, targets = torch.randn(50, 10, dtype=torch.float64), torch.randint(0, 10, (50,))

    def product(dtype: torch.dtype) -> Tensor:
        outputs = logits.to(dtype).requires_grad_()
        loss = nn.CrossEntropyLoss()
        return loss_hessian(loss, loss(outputs, targets), [outputs], targets)(
            [vector.to(dtype)], batched=False
        )[0].double()

    truth = product(torch.float64)
    assert (product(torch.float32) - truth).abs().max() < 1e-6 * truth.abs().max()
