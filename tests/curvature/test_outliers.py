"""Planted spikes above random bulks."""

from collections.abc import Callable

import numpy as np
import pytest

from workbench.curvature.outliers import count_outliers

N, K = 120, 20


def semicircle(random: np.random.Generator) -> np.ndarray:
    """The bulk ends at 1."""
    noise = random.standard_normal((N, N))
    return (noise + noise.T) / np.sqrt(8 * N)


def marchenko_pastur(random: np.random.Generator) -> np.ndarray:
    """The bulk ends at 1."""
    noise = random.standard_normal((N, 2 * N))
    return noise @ noise.T / (2 * N) / (1 + np.sqrt(0.5)) ** 2


@pytest.mark.parametrize("count", [0, 3, 10])
@pytest.mark.parametrize("bulk", [semicircle, marchenko_pastur])
def test_planted_spikes_are_counted(bulk: Callable[[np.random.Generator], np.ndarray], count: int) -> None:
    random = np.random.default_rng(count)
    found = []
    for _ in range(60):
        directions, _ = np.linalg.qr(random.standard_normal((N, count)))
        matrix = bulk(random) + (directions * np.linspace(2, 4, count)) @ directions.T
        found.append(count_outliers(np.linalg.eigvalsh(matrix)[::-1][:K], np.full(K, 1e-4)))
    assert np.mean(np.array(found) == count) >= 0.93  # 0.99 over many thousands


def test_equal_values_and_gaps_within_the_errors_are_no_outliers() -> None:
    zeros = np.full(17, 1e-12) * np.random.default_rng(0).random(17)
    values = np.concatenate([[5, 4, 3], np.sort(zeros)[::-1]])
    assert count_outliers(values, np.full(20, 1e-10)) == 3
    assert count_outliers(np.zeros(20), np.zeros(20)) == 0
    assert count_outliers(values, np.full(20, 2.0)) == 0


def test_the_lowest_clear_gap_counts_not_the_widest() -> None:
    values = np.concatenate([[100.0, 5.0, 4.5, 4.0], 1 - 0.01 * np.arange(10)])
    assert count_outliers(values, np.zeros(14)) == 4


@pytest.mark.parametrize("k", [1, 2, 5, 6])
def test_few_values_say_little(k: int) -> None:
    values = np.concatenate([[9.0], 1 - 0.01 * np.arange(5)])[:k]
    assert count_outliers(values, np.zeros(k)) == (1 if k == 6 else 0)
