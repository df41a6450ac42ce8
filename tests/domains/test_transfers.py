"""The bound holds on real numbers: remainder, its constant, the optimum, the ball of an excess loss."""

from unittest import mock

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch.nn.functional import cross_entropy

from workbench.domains import TransferBound, transfer_bound
from workbench.domains import transfers as module
from workbench.domains.trained_networks import train_and_test_heads, trained_networks
from workbench.domains.transfers import Domain, largest_rise, optimal_head, search_starts
from workbench.result import load_result

CURVATURE = 0.01


@pytest.fixture(scope="module")
def domains() -> tuple[Domain, Domain, torch.Tensor]:
    """Source, target, and the source's optimal head, from a network of ten classes."""
    drawn, networks = trained_networks("label", "erm", weight=1.0, width=6, steps=60, seeds=[0])
    source, target = (
        Domain(state.features.flatten(0, 1), state.targets.flatten())
        for state in train_and_test_heads(drawn, networks, 0)
    )
    return source, target, optimal_head(source, 10, CURVATURE)


@pytest.fixture(scope="module")
def bound() -> TransferBound:
    return transfer_bound("label", radii=(0.05, 0.5, 2.0), width=6, steps=60, seeds=2)


def test_no_rise_that_was_found_exceeds_the_bound(bound):
    assert (bound.attained > 0).all()
    assert (bound.attained <= bound.bound).all()
    assert (bound.attained[0] > 0.8 * bound.bound[0]).all()  # near the centre it is sharp


@pytest.mark.parametrize("radius", [0.1, 1.0, 5.0])
def test_the_remainder_of_second_order_is_within_the_third(domains, radius):
    random = torch.Generator().manual_seed(0)
    source, _, head = domains
    gradient, hessian = source.loss_and_gradient(head)[1].flatten(), source.hessian(head)
    steps = torch.randn(50, *head.shape, generator=random, dtype=head.dtype)
    steps = radius * steps / steps.flatten(1).norm(dim=1)[:, None, None]
    flat = steps.flatten(1)
    rise = source.loss_and_gradient(head + steps)[0] - source.loss_and_gradient(head)[0]
    model = flat @ gradient + (flat @ hessian * flat).sum(1) / 2
    assert ((rise - model).abs() <= source.third * radius**3 / 6).all()


def test_the_constant_of_the_third_derivative_is_reached():
    # Two classes, one feature, p(1 - p)(1 - 2p) at its largest: p = 1/2 - 1/(2 √3).
    p = 0.5 - 1 / (2 * 3**0.5)
    domain = Domain(torch.tensor([[2.0]], dtype=torch.float64), torch.tensor([0]))
    logit = torch.tensor(p / (1 - p), dtype=torch.float64).log() / 2
    direction = torch.tensor([[1.0], [-1.0]], dtype=torch.float64) / 2**0.5

    def along(t: torch.Tensor) -> torch.Tensor:
        head = torch.stack([logit, torch.zeros_like(logit)])[:, None] + t * direction
        return domain.loss_and_gradient(head)[0]

    derivative = along
    for _ in range(3):
        derivative = torch.func.grad(derivative)
    value = derivative(torch.zeros((), dtype=torch.float64))
    assert float(value.abs()) == pytest.approx(domain.third, rel=1e-12)


def test_losses_and_gradients_are_those_of_autograd(domains):
    source, _, head = domains
    heads = torch.stack([head, -head]).requires_grad_()
    logits = source.features @ heads.mT
    losses = torch.stack([torch.nn.functional.cross_entropy(each, source.targets) for each in logits])
    (truth,) = torch.autograd.grad(losses.sum(), heads)
    found, gradient = source.loss_and_gradient(heads.detach())
    torch.testing.assert_close(found, losses.detach())
    torch.testing.assert_close(gradient, truth)


def test_the_head_is_optimal_and_heads_of_small_excess_are_in_the_ball(domains):
    source, _, head = domains

    def loss(heads: torch.Tensor) -> torch.Tensor:
        return source.loss_and_gradient(heads)[0] + CURVATURE / 2 * heads.square().sum((-2, -1))

    assert (source.loss_and_gradient(head)[1] + CURVATURE * head).norm() < 1e-9
    random = torch.Generator().manual_seed(0)
    others = head + torch.randn(200, *head.shape, generator=random, dtype=head.dtype)
    excess = loss(others) - loss(head)
    assert (excess > 0).all()
    assert ((others - head).flatten(1).norm(dim=1) <= (2 * excess / CURVATURE).sqrt()).all()


def test_the_search_stays_in_the_ball_and_beats_its_starts(domains):
    source, target, head = domains
    starts = search_starts(source, target, head, seed=0)
    torch.testing.assert_close(starts.flatten(1).norm(dim=1), torch.ones(len(starts), dtype=torch.float64))
    found = largest_rise(source, target, head, 1.0, starts)
    points = torch.cat([head[None], head + starts])
    losses = target.loss_and_gradient(points)[0] - source.loss_and_gradient(points)[0]
    assert found > float((losses - losses[0]).max())
    assert largest_rise(source, source, head, 1.0, starts) == 0


def test_distances_are_those_of_autograd_and_another_optimiser(bound):
    drawn, networks = trained_networks("label", "hessian", weight=1000.0, width=6, steps=60, seeds=[0, 1])
    for run in range(2):
        (x, y), (u, v) = (
            (state.features.flatten(0, 1), state.targets.flatten())
            for state in train_and_test_heads(drawn, networks, run)
        )
        head = minimised(x, y).requires_grad_()
        difference = cross_entropy(u @ head.T, v) - cross_entropy(x @ head.T, y)
        (gradient,) = torch.autograd.grad(difference, head)
        assert bound.gradients[run] == pytest.approx(float(gradient.norm()), rel=1e-7)
        hessian = torch.autograd.functional.hessian(
            lambda h, x=x, y=y, u=u, v=v: cross_entropy(u @ h.T, v) - cross_entropy(x @ h.T, y), head.detach()
        ).view(head.numel(), -1)
        assert bound.hessians[run] == pytest.approx(float(torch.linalg.matrix_norm(hessian, 2)), rel=1e-7)
        norms = [each.square().sum(1).numpy() for each in (x, u)]
        thirds = 8**0.5 / (6 * 3**0.5) * sum((each**1.5).mean() for each in norms)
        assert bound.thirds[run] == pytest.approx(thirds, rel=1e-7)
        excess = regularised(u, v, head) - regularised(u, v, minimised(u, v))
        assert bound.excess[run] == pytest.approx(excess.item(), rel=1e-7)


def regularised(features: torch.Tensor, targets: torch.Tensor, head: torch.Tensor) -> torch.Tensor:
    return cross_entropy(features @ head.T, targets) + CURVATURE / 2 * head.square().sum()


def minimised(features: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Head of the least regularised loss, by scipy's L-BFGS."""

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        head = torch.tensor(flat.reshape(10, -1), requires_grad=True)
        value = regularised(features, targets, head)
        value.backward()
        return value.item(), head.grad.flatten().numpy()

    options = {"maxiter": 5000, "maxfun": 10000, "ftol": 0, "gtol": 1e-10, "maxcor": 50}
    found = minimize(loss, np.zeros(10 * features.shape[1]), jac=True, method="L-BFGS-B", options=options)
    return torch.tensor(found.x).view(10, -1)


def test_what_the_result_holds_is_the_formula(bound, tmp_path):
    r = bound.radii[:, None]
    truth = bound.gradients * r + bound.hessians * r**2 / 2 + bound.thirds * r**3 / 6
    np.testing.assert_allclose(bound.bound, truth)
    np.testing.assert_allclose(bound.excess_loss, 0.01 * bound.radii**2 / 2)
    assert (bound.excess >= 0).all()
    assert len(bound.frame()) == 3
    assert bound.plot().get_title().startswith("label shift")
    assert "bound" in bound.summary()
    again = load_result(bound.save(tmp_path / "bound.wb"))
    np.testing.assert_array_equal(again.attained, bound.attained)


def test_an_interrupt_keeps_the_seeds_that_are_done():
    search = module.largest_rise
    calls = []

    def stop(*given):
        calls.append(given)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return search(*given)

    with mock.patch.object(module, "largest_rise", stop):
        found = transfer_bound("label", radii=(1.0,), width=4, steps=2, seeds=2)
        assert found.interrupted
        assert found.attained.shape == (1, 1)


def test_what_is_not_allowed_is_refused():
    with pytest.raises(ValueError, match="radii is empty"):
        transfer_bound(radii=())
    with pytest.raises(ValueError, match="radii=-1"):
        transfer_bound(radii=(-1.0,))
    with pytest.raises(ValueError, match="curvature=0"):
        transfer_bound(curvature=0)
    with pytest.raises(ValueError, match="method='hess'"):
        transfer_bound(method="hess")
    with pytest.raises(ValueError, match="seeds=0"):
        transfer_bound(seeds=0)
