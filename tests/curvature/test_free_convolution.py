"""The spectrum of a matrix plus noise against closed forms and drawn matrices."""

import math

import numpy as np
import pytest

from workbench.curvature.free_convolution import add_semicircle
from workbench.curvature.random_matrix import spiked


def shares_below(values: np.ndarray, weights: np.ndarray, at: np.ndarray) -> np.ndarray:
    return np.interp(at, values, np.cumsum(weights) - weights / 2, left=0, right=1)


@pytest.mark.parametrize("noise", [1e-4, 0.7])
def test_noise_alone_is_a_semicircle(noise: float) -> None:
    values, weights = add_semicircle(np.array([0.5]), np.array([1.0]), noise)
    t = np.linspace(-1, 1, 41)
    law = 0.5 + (t * np.sqrt(1 - t**2) + np.arcsin(t)) / np.pi
    assert np.abs(shares_below(values, weights, 0.5 + 2 * noise * t) - law).max() < 1e-3
    assert weights.sum() == pytest.approx(1)


def test_semicircles_add_their_variances() -> None:
    first = add_semicircle(np.array([0.0]), np.array([1.0]), 0.3)
    kept = first[1] > 0
    coarse = np.array_split(np.flatnonzero(kept), 150)
    values = np.array([np.average(first[0][part], weights=first[1][part]) for part in coarse])
    weights = np.array([first[1][part].sum() for part in coarse])
    both, masses = add_semicircle(values, weights, 0.4)
    alone, shares = add_semicircle(np.array([0.0]), np.array([1.0]), 0.5)
    at = np.linspace(-1.1, 1.1, 60)
    assert np.abs(shares_below(both, masses, at) - shares_below(alone, shares, at)).max() < 5e-3


@pytest.mark.parametrize("noise", [0.05, 0.4, 1.5])
def test_it_is_the_spectrum_of_a_noisy_matrix(noise: float) -> None:
    rng = np.random.default_rng(0)
    n = 400
    clean = np.concatenate([np.zeros(200), rng.exponential(0.3, 196), [3.0, 4.0, -2.0, 5.0]])
    a = rng.standard_normal((n, n))
    noisy = np.linalg.eigvalsh(np.diag(clean) + noise * (a + a.T) / math.sqrt(2 * n))
    values, weights = add_semicircle(clean, np.full(n, 1 / n), noise)
    middle = (np.arange(n) + 0.5) / n
    assert np.abs(shares_below(values, weights, noisy) - middle).max() < 0.02
    assert weights @ values == pytest.approx(clean.mean(), abs=2e-3)
    assert weights @ (values - clean.mean()) ** 2 == pytest.approx(clean.var() + noise**2, rel=0.01)


def test_an_outlier_moves_as_the_law_of_spikes_says() -> None:
    values, weights = add_semicircle(np.array([0.0, 2.0]), np.array([1 - 1e-6, 1e-6]), 0.8)
    out = values > 1.9
    assert weights[out].sum() == pytest.approx(1e-6, rel=0.02)
    assert weights[out] @ values[out] / weights[out].sum() == pytest.approx(spiked(2.0, 0.8), rel=1e-3)


def test_without_noise_nothing_changes() -> None:
    values, weights = np.array([0.0, 1.0]), np.array([0.5, 0.5])
    assert add_semicircle(values, weights, 0.0) == (pytest.approx(values), pytest.approx(weights))
