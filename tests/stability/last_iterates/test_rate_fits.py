"""Fitted slopes, on powers that are known."""

import numpy as np
import pytest

from workbench.stability.last_iterates import fitted_slope

HORIZONS = np.array([10, 30, 100, 300])


def test_an_exact_power_has_no_width():
    slope = fitted_slope(HORIZONS, np.repeat(HORIZONS[:, None] ** -0.7, 50, axis=1))
    assert slope == pytest.approx((-0.7, -0.7, -0.7))


def test_the_interval_covers_the_truth_as_often_as_it_says():
    random = np.random.default_rng(0)
    inside = 0
    for seed in range(60):
        noisy = HORIZONS[:, None] ** -0.7 * (1 + 0.5 * random.standard_normal((4, 40)))
        slope = fitted_slope(HORIZONS, noisy, seed)
        inside += slope.low <= -0.7 <= slope.high
    assert inside >= 52  # 95% of 60 less 3 standard errors


def test_a_mean_of_zero_has_no_slope():
    assert np.isnan(fitted_slope(HORIZONS, np.zeros((4, 10)))).all()
