"""Laws on the sphere, against quadrature, Monte Carlo and limits."""

import math

import numpy as np
import pytest
import torch

from workbench.particles.planted.sphere import (
    average_square,
    normalise,
    spherical_moment,
    step_correlation,
    tangent,
    uniform_points,
    von_mises_fisher_mean,
)


@pytest.mark.parametrize("dim", [3, 4, 9])
@pytest.mark.parametrize("power", [0, 2, 4, 6, 3])
def test_moments_are_those_of_the_marginal_density(dim, power):
    t = np.linspace(-1, 1, 400_001)
    density = (1 - t**2) ** ((dim - 3) / 2)
    assert spherical_moment(power, dim) == pytest.approx((t**power * density).sum() / density.sum(), abs=1e-5)


def test_points_are_uniform():
    points = uniform_points(3, range(100), 100, 5, torch.float64).reshape(-1, 5)
    torch.testing.assert_close(points.norm(dim=-1), torch.ones(10_000, dtype=torch.float64))
    second = points.T @ points / len(points)
    error = math.sqrt(spherical_moment(4, 5) - 1 / 25) / 100  # of a diagonal entry, the larger ones
    assert (second - torch.eye(5) / 5).abs().max() < 5 * error


@pytest.mark.parametrize("dim", [3, 20])
def test_step_correlation_is_that_of_steps(dim):
    theta = uniform_points(0, range(1), 200_000, dim, torch.float64)[0]
    z = torch.randn(theta.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    moved = normalise(theta + math.sqrt(2 * 0.3 / (dim - 1)) * tangent(theta, z))
    cosine = (theta * moved).sum(-1)
    assert cosine.mean() == pytest.approx(
        step_correlation(0.3, dim), abs=5 * float(cosine.std()) / math.sqrt(len(cosine))
    )


def test_small_steps_forget_as_brownian_motion_does():
    errors = [step_correlation(step, 10) - math.exp(-step) for step in (0.02, 0.01)]
    assert abs(errors[1]) < 2e-4
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.05)  # of second order in the step


def test_average_square_is_the_double_sum():
    places = np.arange(50)
    total = (0.9 ** np.abs(places[:, None] - places)).sum() / 50**2
    assert average_square(0.9, 50) == pytest.approx(total, rel=1e-12)
    assert average_square(step_correlation(1e-3, 30), 10**8) == pytest.approx(2e-5, rel=3e-3)


def test_von_mises_fisher_mean_in_three_dimensions():
    for kappa in (0.1, 1.0, 30.0):
        assert von_mises_fisher_mean(kappa, 3) == pytest.approx(1 / math.tanh(kappa) - 1 / kappa, rel=1e-10)
    assert von_mises_fisher_mean(0.0, 7) == 0


@pytest.mark.parametrize(("dim", "step"), [(3, 0.1), (3, 0.99), (4, 0.99), (50, 0.5)])
def test_step_correlation_is_exact_to_rounding(dim, step):
    mpmath = pytest.importorskip("mpmath")
    square = mpmath.mpf(step) * 2 / (dim - 1)

    def integrand(w):
        return mpmath.exp(-w * w) * (1 + 2 * square * w * w) ** (-(dim - 1) / mpmath.mpf(2))

    exact = mpmath.quad(integrand, [-mpmath.inf, -2, 0, 2, mpmath.inf]) / mpmath.sqrt(mpmath.pi)
    assert step_correlation(step, dim) == pytest.approx(float(exact), rel=1e-13)
