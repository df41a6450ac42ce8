"""Consensus points against their formula in float64, and the invariants that they keep."""

import pytest
import torch

from workbench.kernels.consensus_steps import consensus_weights, ordered_sum
from workbench.particles import consensus_point


def cloud(runs: int = 3, particles: int = 37, dim: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(runs, particles, dim, generator=generator, dtype=torch.float64)
    return x, x.square().sum(-1)


def test_it_is_the_weighted_mean() -> None:
    x, energy = cloud()
    weights = torch.exp(-2 * energy)
    point, ess = consensus_point(x, energy, 2.0)
    expected = (weights[..., None] * x).sum(1) / weights.sum(1, keepdim=True)
    torch.testing.assert_close(point, expected, rtol=1e-13, atol=1e-14)
    torch.testing.assert_close(ess, weights.sum(1) ** 2 / weights.square().sum(1), rtol=1e-13, atol=0)


def test_a_constant_added_to_the_objective_changes_nothing() -> None:
    x, energy = cloud()
    here, there = consensus_point(x, energy, 1e5), consensus_point(x, energy + 1e6, 1e5)
    assert ((here.point - there.point).norm(dim=-1) / here.point.norm(dim=-1)).max() < 1e-8


@pytest.mark.parametrize("alpha", [1e300, float("inf")])
def test_steep_weights_take_the_best_particle_bit_for_bit(alpha: float) -> None:
    x, energy = cloud()
    point, ess = consensus_point(x.float(), energy.float(), alpha)
    assert torch.equal(point, x.float()[torch.arange(3), energy.argmin(1)])
    assert (ess == 1).all()


def test_flat_weights_take_the_mean_of_all() -> None:
    x, energy = cloud()
    point, ess = consensus_point(x, energy, 0.0)
    torch.testing.assert_close(point, x.mean(1), rtol=1e-13, atol=1e-14)
    assert (ess == 37).all()


def test_the_order_of_the_particles_changes_rounding_only() -> None:
    x, energy = cloud()
    order = torch.randperm(37, generator=torch.Generator().manual_seed(1))
    here, there = consensus_point(x, energy, 3.0), consensus_point(x[:, order], energy[:, order], 3.0)
    torch.testing.assert_close(here.point, there.point, rtol=1e-13, atol=1e-14)


def test_a_run_alone_has_the_bits_that_it_has_among_others() -> None:
    x, energy = cloud(40, 1000, 7)
    x, energy = x.float(), energy.float()
    together = consensus_point(x, energy, 5.0)
    for run in (0, 17, 39):
        alone = consensus_point(x[run : run + 1], energy[run : run + 1], 5.0)
        assert torch.equal(alone.point[0], together.point[run])
        assert torch.equal(alone.ess[0], together.ess[run])


def test_energies_that_are_not_finite_have_no_weight() -> None:
    x, energy = cloud(2, 4, 1)
    energy[0, :2] = torch.tensor([torch.nan, -torch.inf])
    energy[1] = torch.inf
    x[0, 0] = torch.nan
    point, ess = consensus_point(x, energy, 1.0)
    weights = torch.exp(-energy[0, 2:])
    torch.testing.assert_close(point[0], (weights @ x[0, 2:]) / weights.sum())
    assert point[1].isnan().all()
    assert ess[1] == 0
    assert consensus_weights(energy, 1.0)[0, :2].eq(0).all()


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64, 100])
def test_ordered_sums_are_sums(count: int) -> None:
    values = torch.arange(2 * count * 3, dtype=torch.float64).reshape(2, count, 3)
    assert torch.equal(ordered_sum(values), values.sum(1))
