"""Penalties: zero for the same environments, against their definitions, and held centres."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from workbench.domains.heads import head_hessian
from workbench.domains.penalties import (
    PENALTIES,
    HeadState,
    coral,
    diagonal_matching,
    estimated_diagonal_matching,
    fishr,
    gradient_matching,
    gradient_product,
    irm,
    vrex,
)

ENVIRONMENTS, COUNT, WIDTH, CLASSES = 3, 30, 4, 3


@pytest.fixture
def head() -> Tensor:
    return torch.randn(CLASSES, WIDTH, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.fixture
def state(head) -> HeadState:
    random = torch.Generator().manual_seed(0)
    shape = (ENVIRONMENTS, COUNT)
    features = torch.randn(*shape, WIDTH, generator=random, dtype=torch.float64)
    features = features * torch.tensor([1.0, 2.0, 0.5])[:, None, None]
    return HeadState(features, features @ head.T, torch.randint(0, CLASSES, shape, generator=random))


def losses(state: HeadState, head: Tensor) -> list[Tensor]:
    pairs = zip(state.features, state.targets, strict=True)
    return [F.cross_entropy(features @ head.T, targets) for features, targets in pairs]


def spread(each: list[Tensor], centre: Tensor | None = None) -> Tensor:
    stacked = torch.stack(each)
    return (stacked - (stacked.mean(0) if centre is None else centre)).square().flatten(1).sum(1).mean()


def derivatives(state: HeadState, head: Tensor) -> tuple[list[Tensor], Tensor, list[Tensor]]:
    """Gradients, mean gradient and Hessians by autograd."""
    head = head.clone().requires_grad_()
    gradients = [torch.autograd.grad(loss, head)[0] for loss in losses(state, head)]
    hessians = [
        torch.autograd.functional.hessian(lambda each, e=e: losses(state, each)[e], head.detach()).flatten(
            0, 1
        )
        for e in range(ENVIRONMENTS)
    ]
    return gradients, torch.stack(gradients).mean(0), [each.flatten(1) for each in hessians]


@pytest.mark.parametrize("name", [name for name in PENALTIES if name != "irm"])
def test_environments_that_are_the_same_cost_nothing(name, state):
    same = HeadState(*(tensor[:1].expand(3, *tensor.shape[1:]) for tensor in vars(state).values()))
    assert float(PENALTIES[name](same)) < 1e-24
    if name != "erm":
        assert float(PENALTIES[name](state)) > 1e-4


def test_irm_is_zero_where_logits_have_their_best_size(state):
    # By bisection, environment by environment: the factor at which the risk has no slope.
    noise = torch.randn(state.logits.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    targets = (state.logits + noise).argmax(-1)
    scaled = []
    for logits, labels in zip(state.logits, targets, strict=True):
        low, high = 0.0, 100.0
        for _ in range(100):
            middle = (low + high) / 2
            factor = torch.tensor(middle, dtype=torch.float64, requires_grad=True)
            (slope,) = torch.autograd.grad(F.cross_entropy(factor * logits, labels), factor)
            low, high = (middle, high) if slope < 0 else (low, middle)
        scaled.append(low * logits)
    assert float(irm(HeadState(state.features, torch.stack(scaled), targets))) < 1e-20
    assert float(irm(HeadState(state.features, state.logits * 3, targets))) > 1e-4


def test_irm_is_the_squared_slope_in_a_factor_of_the_logits(state):
    slopes = []
    for logits, targets in zip(state.logits, state.targets, strict=True):
        factor = torch.ones((), dtype=torch.float64, requires_grad=True)
        slopes.append(torch.autograd.grad(F.cross_entropy(factor * logits, targets), factor)[0])
    torch.testing.assert_close(irm(state), torch.stack(slopes).square().mean())


def test_vrex_is_the_variance_of_the_risks(state, head):
    torch.testing.assert_close(vrex(state), torch.stack(losses(state, head)).var(correction=0))


def test_coral_is_the_spread_of_means_and_covariances(state):
    means = [features.mean(0) for features in state.features]
    covariances = [torch.cov(features.T, correction=0) for features in state.features]
    torch.testing.assert_close(coral(state), spread(means) + spread(covariances))


def test_gradients_products_and_diagonals_are_those_of_autograd(state, head):
    gradients, mean, hessians = derivatives(state, head)
    torch.testing.assert_close(gradient_matching(state), spread(gradients))
    diagonals = [hessian.diagonal() for hessian in hessians]
    torch.testing.assert_close(diagonal_matching(state), spread(gradients) + spread(diagonals))
    products = [hessian @ gradient.flatten() for hessian, gradient in zip(hessians, gradients, strict=True)]
    centre = torch.stack(hessians).mean(0) @ mean.flatten()  # of the mean loss, not the mean of the products
    torch.testing.assert_close(gradient_product(state), spread(gradients) + spread(products, centre))


def test_fishr_is_the_spread_of_the_gradients_variances(state, head):
    variances = []
    for features, targets in zip(state.features, state.targets, strict=True):
        each = [
            torch.func.grad(lambda one, z=z, y=y: F.cross_entropy(z[None] @ one.T, y[None]))(head)
            for z, y in zip(features, targets, strict=True)
        ]
        variances.append(torch.stack(each).var(0, correction=0))
    torch.testing.assert_close(fishr(state), spread(variances))


def test_the_products_centre_is_held_constant(state, head):
    weight = torch.eye(WIDTH, dtype=torch.float64, requires_grad=True)

    def moved() -> HeadState:
        features = state.features @ weight
        return HeadState(features, features @ head.T, state.targets)

    (found,) = torch.autograd.grad(gradient_product(moved()), weight)
    _, mean, hessians = derivatives(state, head)
    centre = (torch.stack(hessians).mean(0) @ mean.flatten()).view_as(head)
    now = moved()
    each = now.gradients()
    whole = [
        head_hessian(features, logits) @ gradient.flatten()
        for features, logits, gradient in zip(now.features, now.logits, each, strict=True)
    ]
    held = spread(whole, centre.flatten()) + spread(list(each), mean)
    (truth,) = torch.autograd.grad(held, weight)
    torch.testing.assert_close(found, truth)


@pytest.mark.parametrize("name", list(PENALTIES))
def test_runs_stand_in_front(name, state):
    runs = HeadState(*(torch.stack([tensor, tensor.flip(0)]) for tensor in vars(state).values()))
    found = PENALTIES[name](runs)
    assert found.shape == (2,)
    torch.testing.assert_close(found[0], PENALTIES[name](state).to(found.dtype))
    torch.testing.assert_close(found[1], found[0])  # the order of environments does not matter


def test_shared_probes_see_no_difference_where_there_is_none(state):
    same = HeadState(*(tensor[:1].expand(3, *tensor.shape[1:]) for tensor in vars(state).values()))
    random = torch.Generator().manual_seed(0)
    signs = 2.0 * torch.randint(0, 2, (5, 3, CLASSES, WIDTH), generator=random).double() - 1
    assert float(estimated_diagonal_matching(same, signs[:, :1])) < 1e-24
    assert float(estimated_diagonal_matching(same, signs)) > 1e-4
