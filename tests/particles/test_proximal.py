"""Proximal points against closed forms and a fine grid."""

import pytest
import torch

from workbench.particles import canyon, proximal_point

CURVATURES = torch.linspace(1, 5, 10, dtype=torch.float64)


def bowl(points: torch.Tensor) -> torch.Tensor:
    return (points.square() * CURVATURES).sum(-1) / 2


@pytest.mark.parametrize("tau", [1e-3, 0.1, 10.0])
def test_on_a_quadratic_it_is_the_closed_form(tau: float) -> None:
    x = torch.randn(3, 4, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = proximal_point(bowl, x, tau)
    torch.testing.assert_close(found.point, x / (1 + tau * CURVATURES), rtol=0, atol=1e-6)
    assert (found.residual < 1e-7).all()
    assert found.gradients.shape == (3, 4)


def test_each_point_may_have_its_own_tau_and_none_sees_the_others() -> None:
    x = torch.randn(5, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    taus = torch.tensor([0.01, 0.1, 1.0, 3.0, 9.0], dtype=torch.float64)
    together = proximal_point(bowl, x, taus)
    for i, tau in enumerate(taus):
        alone = proximal_point(bowl, x[i], float(tau))
        torch.testing.assert_close(alone.point, together.point[i], rtol=0, atol=1e-7)
        assert alone.gradients == together.gradients[i]


def test_in_the_canyon_it_is_the_lowest_point_nearby() -> None:
    x, tau = torch.tensor([3.0, 1.0], dtype=torch.float64), 0.01
    found = proximal_point(canyon(), x, tau)
    side = torch.linspace(-0.6, 0.6, 1201, dtype=torch.float64)
    grid = x + torch.cartesian_prod(side, side)
    total = canyon()(grid) + (grid - x).square().sum(-1) / (2 * tau)
    torch.testing.assert_close(found.point, grid[total.argmin()], rtol=0, atol=1e-3)


def test_a_minimiser_stays() -> None:
    found = proximal_point(bowl, torch.zeros(2, 10, dtype=torch.float64), 1.0)
    assert torch.equal(found.point, torch.zeros(2, 10, dtype=torch.float64))
    assert (found.residual == 0).all()
