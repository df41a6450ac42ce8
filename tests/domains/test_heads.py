"""Closed forms of the last layer against autograd: gradient, Hessian, diagonal, products, variances."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from workbench.domains.heads import (
    head_diagonal,
    head_gradient,
    head_gradient_variance,
    head_hessian,
    head_product,
    hutchinson_diagonal,
    with_ones,
)

COUNT, WIDTH, CLASSES = 40, 5, 4


@pytest.fixture
def given() -> tuple[Tensor, Tensor, Tensor]:
    """Features with a column of ones, a head, and targets, in float64."""
    random = torch.Generator().manual_seed(0)
    features = with_ones(torch.randn(COUNT, WIDTH - 1, generator=random, dtype=torch.float64))
    head = torch.randn(CLASSES, WIDTH, generator=random, dtype=torch.float64)
    return features, head, torch.randint(0, CLASSES, (COUNT,), generator=random)


def loss(features: Tensor, head: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(features @ head.T, targets)


def test_the_gradient_is_that_of_autograd(given):
    features, head, targets = given
    (truth,) = torch.autograd.grad(loss(features, head.requires_grad_(), targets), head)
    torch.testing.assert_close(head_gradient(features, features @ head.T, targets), truth)


def test_the_hessian_and_its_diagonal_are_those_of_double_backward(given):
    features, head, targets = given
    truth = torch.autograd.functional.hessian(lambda each: loss(features, each, targets), head)
    truth = truth.view(CLASSES * WIDTH, CLASSES * WIDTH)
    logits = features @ head.T
    torch.testing.assert_close(head_hessian(features, logits), truth)
    torch.testing.assert_close(head_diagonal(features, logits).flatten(), truth.diagonal())


def test_a_block_is_the_formula_of_the_paper(given):
    features, head, _ = given
    logits = features @ head.detach().T
    p = logits.softmax(-1)
    for k, other in ((0, 0), (1, 3)):
        weight = p[:, k] * (int(k == other) - p[:, other])
        truth = sum(w * torch.outer(z, z) for w, z in zip(weight, features, strict=True)) / COUNT
        rows, columns = slice(k * WIDTH, (k + 1) * WIDTH), slice(other * WIDTH, (other + 1) * WIDTH)
        torch.testing.assert_close(head_hessian(features, logits)[rows, columns], truth)


def test_hessian_times_gradient_is_the_norm_times_its_gradient(given):
    features, head, targets = given
    head.requires_grad_()
    (gradient,) = torch.autograd.grad(loss(features, head, targets), head, create_graph=True)
    norm = gradient.norm()
    (of_norm,) = torch.autograd.grad(norm, head)
    logits = features @ head.detach().T
    found = head_product(features, logits, head_gradient(features, logits, targets))
    torch.testing.assert_close(found, (norm * of_norm).detach())


def test_products_are_those_of_the_hessian(given):
    features, head, _ = given
    logits = features @ head.T
    vectors = torch.randn(3, CLASSES, WIDTH, dtype=torch.float64)
    truth = (vectors.flatten(1) @ head_hessian(features, logits)).view_as(vectors)
    torch.testing.assert_close(head_product(features, logits, vectors), truth)


def test_gradients_reach_the_features(given):
    features, head, targets = given

    def function(features: Tensor) -> Tensor:
        logits = features @ head.T
        product = head_product(features, logits, head_gradient(features, logits, targets))
        return product.square().sum() + head_diagonal(features, logits).square().sum()

    assert torch.autograd.gradcheck(function, features.clone().requires_grad_(), fast_mode=True)


def test_the_variance_is_that_of_the_examples_gradients(given):
    features, head, targets = given
    each = torch.stack(
        [
            torch.func.grad(lambda one, row=row: loss(features[row, None], one, targets[row, None]))(head)
            for row in range(COUNT)
        ]
    )
    found = head_gradient_variance(features, features @ head.T, targets)
    torch.testing.assert_close(found, each.var(0, correction=0))


def test_all_signs_together_give_the_exact_diagonal():
    features = torch.randn(8, 3, dtype=torch.float64)
    logits = features @ torch.randn(3, 2, dtype=torch.float64)
    signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * 6).view(64, 2, 3)
    found = hutchinson_diagonal(features, logits, signs)
    torch.testing.assert_close(found, head_diagonal(features, logits))


def test_environments_and_runs_stand_in_front(given):
    features, head, targets = given
    stacked = features.view(2, 2, 10, WIDTH)
    logits = stacked @ head.T
    for function in (head_diagonal, head_hessian):
        torch.testing.assert_close(function(stacked, logits)[1, 0], function(stacked[1, 0], logits[1, 0]))
    found = head_gradient(stacked, logits, targets.view(2, 2, 10))
    torch.testing.assert_close(found.mean((0, 1)), head_gradient(features, features @ head.T, targets))
