"""The rivals against their formulas, and budgets that are kept."""

import math

import pytest
import torch

from workbench.particles import (
    annealed_langevin,
    canyon,
    compare,
    consensus,
    gradient_descent,
    minimising_movement,
    sphere,
)
from workbench.particles.noise import FIRST_STEP, normals

START = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_gradient_descent_is_the_formula() -> None:
    found = gradient_descent(sphere(), START, rate=0.1, evaluations=31, every=1)
    for k in range(11):
        torch.testing.assert_close(found.points[k], START * 0.8**k, rtol=1e-12, atol=0)
    assert found.evaluations[-1].tolist() == [30, 30, 30]
    torch.testing.assert_close(found.energy, found.points.square().sum(-1))


def test_noisy_gradients_and_langevin_are_the_formula() -> None:
    def noise(k: int) -> torch.Tensor:
        return normals(5, range(3), k + FIRST_STEP, 1, 4, torch.float64)[:, 0]

    noisy = gradient_descent(sphere(), START, rate=0.1, evaluations=9, noise=0.5, seed=5, every=1)
    annealed = annealed_langevin(sphere(), START, rate=0.1, sigma=2.0, evaluations=9, seed=5, every=1)
    x, y = START, START
    for k in range(3):
        x = x - 0.1 * (2 * x + 0.5 * noise(k))
        y = y - 0.1 * 2 * y + 2.0 / math.log(k + 2) * math.sqrt(0.1) * noise(k)
        torch.testing.assert_close(noisy.points[k + 1], x, rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(annealed.points[k + 1], y, rtol=1e-12, atol=1e-14)


def test_the_minimising_movement_is_the_formula_within_its_budget() -> None:
    found = minimising_movement(sphere(), START, tau=0.25, evaluations=1000, every=1)
    for k in range(5):
        torch.testing.assert_close(found.points[k], START / 1.5**k, rtol=0, atol=1e-5)
    assert (found.evaluations <= 1000).all()
    assert (found.evaluations[-1] > 900).all()
    assert (found.evaluations.diff(dim=0) >= 0).all()


def test_methods_stand_in_one_table_with_their_costs() -> None:
    start = torch.full((6, 2), 8.0)
    swarm = consensus(canyon(), 50, 2, 6, 20, kind="isotropic", alpha=100.0, sigma=1.6, start=8.0)
    path = gradient_descent(canyon(), start, evaluations=swarm.evaluations[0].item())
    table = compare(canyon(), swarm, path).frame()
    assert table["evaluations"].tolist() == [1050, 1050]
    assert table["runs"].tolist() == [6, 6]
    assert ((table["low"] <= table["success"]) & (table["success"] <= table["high"])).all()
    assert table["success"][1] == 0
    assert compare(canyon(), path).plot().get_yticklabels()[0].get_text().startswith("gradient descent")
    assert path.plot().get_xlabel().startswith("evaluations")
    assert len(path.frame()) == path.energy.numel()


@pytest.mark.parametrize("options", [{"rate": 0.0}, {"noise": -1.0}, {"evaluations": 0}, {"every": 0}])
def test_what_cannot_be_is_refused(options) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        gradient_descent(sphere(), START, **options)
    with pytest.raises(ValueError, match="shape"):
        gradient_descent(sphere(), START[0])
    with pytest.raises(ValueError, match="nothing to compare"):
        compare(sphere())


def test_the_gradients_of_a_drift_are_paid_for() -> None:
    drifting = consensus(sphere(), 10, 2, 2, 9, gradient=0.3)
    plain = consensus(sphere(), 10, 2, 2, 9)
    assert compare(sphere(), plain, drifting).evaluations.tolist() == [100, 100 + 3 * 90]


def test_starts_may_require_a_gradient_but_must_be_there() -> None:
    start = torch.ones(3, 2, requires_grad=True)
    assert len(gradient_descent(sphere(), start, evaluations=30, every=1).frame()) == 36
    with pytest.raises(ValueError, match="start has shape"):
        gradient_descent(sphere(), torch.ones(0, 2), evaluations=30)
