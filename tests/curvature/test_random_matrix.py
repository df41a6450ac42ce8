"""Laws of random matrices against drawn ones."""

import math
from typing import Any

import numpy as np
import pytest
import torch

import workbench as wb
from workbench.curvature.random_matrix import (
    batch_noise,
    fit_bulk,
    noise_per_example,
    spiked,
    spiked_along,
)


def wigner(n: int, rng: np.random.Generator) -> np.ndarray:
    """Symmetric, entries of variance 1 / n: a semicircle of radius 2."""
    a = rng.standard_normal((n, n))
    return (a + a.T) / math.sqrt(2 * n)


@pytest.mark.parametrize("noise", [0.3, 0.8])
def test_spikes_move_as_predicted(noise: float) -> None:
    rng = np.random.default_rng(0)
    n, spikes = 900, [3.0, 1.5, -1.2]
    values = np.linalg.eigvalsh(np.diag(spikes + [0.0] * (n - 3)) + noise * wigner(n, rng))
    predicted = sorted(spiked(value, noise) for value in spikes)
    assert values[-1] == pytest.approx(predicted[-1], rel=0.03)
    assert values[-2] == pytest.approx(predicted[-2], rel=0.03)
    assert values[0] == pytest.approx(predicted[0], rel=0.03)


def test_a_spike_inside_the_noise_is_its_edge() -> None:
    rng = np.random.default_rng(1)
    n, noise = 900, 1.0
    values = np.linalg.eigvalsh(np.diag([0.8] + [0.0] * (n - 1)) + noise * wigner(n, rng))
    assert values[-1] == pytest.approx(spiked(0.8, noise), rel=0.05)
    assert spiked(-0.8, noise) == -2.0


def along_first(draws: list[np.ndarray], k: int) -> tuple[np.ndarray, np.ndarray]:
    """What is seen of the noise along the first k unit vectors."""
    return np.array([e[:k, :k] for e in draws]), np.array([e[k:, :k].T @ e[k:, :k] for e in draws])


def means(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return samples.mean(axis=0), samples.std(axis=0, ddof=1) / math.sqrt(len(samples))


@pytest.mark.parametrize("spikes", [[3.0], [3.0, 1.5], [2.0, 1.95, 1.2]])
@pytest.mark.parametrize("stretched", [False, True])
def test_noise_along_the_eigenvectors_predicts_the_spikes(spikes: list[float], stretched: bool) -> None:
    rng = np.random.default_rng(6)
    n, k, scale = 200, len(spikes), 2.0
    stretch = np.ones(n)
    stretch[:k] = 4.0 if stretched else 1.0  # noise as in networks: strong where the outliers are
    draws = [0.15 * wigner(n, rng) * np.outer(stretch, stretch) for _ in range(80)]
    clean = np.diag(spikes + [0.0] * (n - k))
    measured, measured_stderr = means(
        np.array([np.linalg.eigvalsh(clean + math.sqrt(scale) * e)[::-1][:k] for e in draws[:40]])
    )
    seen = along_first(draws[40:], k)
    predicted, stderr = means(spiked_along(np.array(spikes), *seen, scale))
    assert np.all(np.abs(predicted - measured) < 4 * np.hypot(stderr, measured_stderr) + 0.01 * measured)
    if stretched:
        isotropic = [spiked(value, 0.15 * math.sqrt(scale)) for value in spikes]
        assert measured[0] > 1.05 * isotropic[0]


def test_noise_along_a_drowned_eigenvector_is_its_edge() -> None:
    rng = np.random.default_rng(7)
    seen = along_first([wigner(300, rng) for _ in range(20)], 1)
    assert spiked_along(np.array([0.8]), *seen).mean() == pytest.approx(spiked(0.8, 1.0), rel=0.02)
    assert spiked_along(np.array([0.8]), *seen, 0.0) == pytest.approx(0.8)


def test_the_noise_of_a_mean_without_replacement() -> None:
    rng = np.random.default_rng(2)
    population = rng.standard_normal(12)
    per_example = population.var()
    for size in (1, 5, 11, 12):
        means = [rng.permutation(population)[:size].mean() for _ in range(20_000)]
        assert np.std(means) == pytest.approx(batch_noise(per_example, size, 12), rel=0.03, abs=1e-12)
    assert noise_per_example(batch_noise(2.5, 5, 12) ** 2, 5, 12) == pytest.approx(2.5)
    assert noise_per_example(1.0, 12, 12) == 0.0


def density_of(matrix: np.ndarray, **keywords: Any) -> wb.curvature.SpectralDensity:
    return wb.curvature.spectral_density(torch.from_numpy(matrix), probes=20, steps=60, **keywords)


def test_a_semicircle_is_recognised() -> None:
    rng = np.random.default_rng(3)
    fit = fit_bulk(density_of(0.7 * wigner(500, rng) + 0.2 * np.eye(500)))
    assert (fit.low, fit.high) == (pytest.approx(-1.2, abs=0.06), pytest.approx(1.6, abs=0.06))
    assert fit.distance < 0.05
    assert fit_bulk(density_of(np.diag(np.geomspace(1e-3, 1, 500)))).distance > 0.15


@pytest.mark.parametrize("ratio", [0.25, 2.0])
def test_marchenko_pastur_is_recognised(ratio: float) -> None:
    rng = np.random.default_rng(4)
    n = 400
    a = rng.standard_normal((n, round(n / ratio)))
    fit = fit_bulk(density_of(a @ a.T / a.shape[1]), "marchenko-pastur")
    assert fit.low == pytest.approx((1 - math.sqrt(ratio)) ** 2, abs=0.06)
    assert fit.high == pytest.approx((1 + math.sqrt(ratio)) ** 2, rel=0.05)
    assert fit.distance < 0.05


def test_spikes_are_no_bulk() -> None:
    rng = np.random.default_rng(5)
    matrix = wigner(400, rng)
    matrix[range(3), range(3)] += 40
    alone = fit_bulk(density_of(matrix, deflate=3))
    assert alone.high == pytest.approx(2, rel=0.08)
    assert fit_bulk(density_of(matrix), edge=3.0).high == pytest.approx(2, rel=0.08)
    with pytest.raises(ValueError, match="there is no bulk"):
        fit_bulk(density_of(np.eye(30)), edge=0.5)


def test_bad_laws_are_refused() -> None:
    density = density_of(-np.eye(30))
    with pytest.raises(ValueError, match="is not 'semicircle'"):
        fit_bulk(density, "cauchy")
    with pytest.raises(ValueError, match="positive"):
        fit_bulk(density, "marchenko-pastur")
