"""The laws against matrices and quadratics, and the limits that they saturate at."""

import math

import numpy as np
import pytest
import torch

from workbench.curvature.random_matrix import batch_noise, spiked, spiked_along
from workbench.stability.batch_size import adaptive_share, heavy_ball, minimal_damping, sgd_rate

N, EXAMPLES, SPIKE, SPREAD = 120, 400, 1.0, 2.5


def planted(rng: np.random.Generator) -> np.ndarray:
    """Matrices (EXAMPLES, N, N) of single examples: a spike, and noise of which each row has SPREAD."""
    a = rng.standard_normal((EXAMPLES, N, N)).astype(np.float32)
    noise = SPREAD * (a + a.transpose(0, 2, 1)) / math.sqrt(2 * N)
    noise -= noise.mean(axis=0)
    noise[:, 0, 0] += SPIKE
    return noise


@pytest.fixture(scope="module")
def drawn():
    """Matrices of all, of 12 batches for each size, and E v of other batches for the noise."""
    rng = np.random.default_rng(0)
    singles = planted(rng)
    full = singles.mean(axis=0)
    batches = {
        size: np.array([singles[rng.permutation(EXAMPLES)[:size]].mean(axis=0) for _ in range(12)])
        for size in (8, 32, 128)
    }
    return full, batches


@pytest.mark.parametrize("size", [8, 32, 128])
def test_both_forms_of_the_largest_eigenvalue_hold_on_a_planted_spike(drawn, size):
    full, batches = drawn
    noise = batch_noise(SPREAD**2, size, EXAMPLES)
    largest = np.linalg.eigvalsh(batches[size])[:, -1].mean()
    assert spiked(SPIKE, noise) == pytest.approx(largest, rel=0.1)
    change = batches[size] - full
    within, across = change[:, :1, :1], np.square(change[:, 1:, 0]).sum(axis=1)[:, None, None]
    assert spiked_along(np.array([SPIKE]), within, across).mean() == pytest.approx(largest, rel=0.1)
    assert across.mean() == pytest.approx(noise**2, rel=0.1)


def test_the_rate_of_sgd_is_where_one_step_keeps_the_mean_square(drawn):
    """Independent of the eigenvalue's law: the length of (1 - rate H_B) v, drawn."""
    _, batches = drawn
    noise = batch_noise(SPREAD**2, 32, EXAMPLES)
    rate = sgd_rate(SPIKE + noise**2 / SPIKE)
    moved = -rate * batches[32][:, :, 0]
    moved[:, 0] += 1
    assert np.square(moved).sum(axis=1).mean() == pytest.approx(1, abs=0.06)


def test_the_eigenvalue_of_a_batch_never_gives_a_slope_beyond_one_half():
    """The reason why 2/λ₁(B) is not linear: where it would be, the spike has drowned."""
    sizes = np.logspace(0, 4, 50)
    rates = sgd_rate(np.array([spiked(1.0, 10 / math.sqrt(size)) for size in sizes]))
    slopes = np.diff(np.log(rates)) / np.diff(np.log(sizes))
    assert slopes.max() == pytest.approx(0.5, abs=1e-9)
    assert slopes.min() < 0.02


def test_the_laws_are_linear_and_a_root_and_saturate():
    noise = 10 / np.sqrt(np.array([1.0, 4.0, 1e6, 4e6]))
    rates, shares = sgd_rate(1 + noise**2), adaptive_share(1.0, noise)
    assert rates[1] / rates[0] == pytest.approx(4, rel=0.05)
    assert shares[1] / shares[0] == pytest.approx(2, rel=0.05)
    assert rates[2:] == pytest.approx(2, rel=1e-3)
    assert shares[2:] == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_heavy_ball_diverges_just_above_its_rate(momentum):
    for factor, bounded in ((0.999, True), (1.001, False)):
        rate = factor * sgd_rate(3.0, momentum)
        step = np.array([[1 - 3 * rate + momentum, -momentum], [1, 0]])
        assert (np.abs(np.linalg.eigvals(step)).max() < 1) == bounded


def test_the_least_damping_is_where_second_order_steps_stop_growing():
    values, batch = np.array([2.0, 0.5]), np.array([2.5, 2.5])
    damping = float(minimal_damping(values, batch, rate=1.0))
    growth = np.abs(1 - batch / (values + damping))
    assert growth.max() == pytest.approx(1)
    assert np.abs(1 - batch / (values + 1.01 * damping)).max() < 1
    assert minimal_damping(values, np.stack([values, batch]), rate=1.0).tolist() == [0.0, damping]


def test_the_damping_goes_as_rate_over_batch_size_where_noise_counts():
    value, square = np.array([0.1]), 100.0
    many = [
        minimal_damping(value, value + square / size / value, rate) for size, rate in ((1, 0.1), (4, 0.4))
    ]
    assert many[0] == pytest.approx(many[1], rel=0.01)


def test_polyaks_rate_and_momentum_are_the_best_for_a_spectrum():
    chosen = heavy_ball(10.0, 0.1)

    def radius(rate: float, momentum: float) -> float:
        steps = torch.tensor(
            [[[1 - rate * each + momentum, -momentum], [1, 0]] for each in (0.1, 1.0, 10.0)],
            dtype=torch.complex128,
        )
        return torch.linalg.eigvals(steps).abs().max().item()

    best = radius(*chosen)
    assert best == pytest.approx(math.sqrt(chosen.momentum), rel=1e-5)
    for rate in (0.9, 1.1):
        for momentum in (0.95, 1.05):
            assert radius(rate * chosen.rate, momentum * chosen.momentum) > best
    assert heavy_ball(4.0, 4.0) == (0.25, 0.0)


def test_what_is_out_of_range_is_refused():
    with pytest.raises(ValueError, match="momentum=1"):
        sgd_rate(1.0, 1.0)
    with pytest.raises(ValueError, match="smallest=2"):
        heavy_ball(1.0, 2.0)
    with pytest.raises(ValueError, match="smallest=-1"):
        heavy_ball(1.0, -1.0)
    with pytest.raises(ValueError, match="rate=0"):
        minimal_damping(np.ones(1), np.ones(1), 0)
