"""Averages over pairs against brute force, and their intervals against simulated truths."""

import itertools
import math

import numpy as np
import pytest
from scipy.stats import norm

from workbench.inspection.pair_shares import pair_mean, share_interval


def test_the_mean_and_the_jackknife_are_those_of_all_pairs() -> None:
    values = np.random.default_rng(0).normal(size=(7, 7))
    values = values + values.T
    found = pair_mean(values)

    def mean(members: list[int]) -> float:
        return float(np.mean([values[a, b] for a, b in itertools.combinations(members, 2)]))

    without = np.array([mean([i for i in range(7) if i != left]) for left in range(7)])
    assert found.value == pytest.approx(mean(list(range(7))), rel=1e-12)
    assert found.error == pytest.approx(
        math.sqrt(6 / 7 * np.square(without - without.mean()).sum()), rel=1e-12
    )


def test_too_few_members_say_so() -> None:
    assert math.isnan(pair_mean(np.ones((1, 1))).value)
    assert pair_mean(np.array([[0.0, 2.0], [2.0, 0.0]])).value == 2
    assert math.isnan(pair_mean(np.ones((2, 2))).error)
    assert np.isnan(share_interval(pair_mean(np.ones((1, 1))), 1)).all()


@pytest.mark.parametrize(("dims", "mean"), [(1, 0.0), (1, 1.0), (1, 2.0), (10, 0.8), (300, 0.1)])
def test_intervals_hold_the_true_share_of_conflicts(dims: int, mean: float) -> None:
    """Twenty vectors of independent normal numbers; the truth in closed form or from many pairs."""
    rng = np.random.default_rng(1)
    truth = 2 * norm.cdf(mean) * norm.cdf(-mean)
    if dims > 1:
        one, other = (rng.normal(mean, size=(20_000, dims)) for _ in range(2))
        truth = ((one * other).sum(axis=1) < 0).mean()
    held, errors, shares = 0, [], []
    for _ in range(400):
        vectors = rng.normal(mean, size=(20, dims))
        share = pair_mean((vectors @ vectors.T < 0).astype(float))
        low, high = share_interval(share, 20)
        held += low <= truth <= high
        errors.append(share.error)
        shares.append(share.value)
    assert held >= 400 * 0.92
    assert np.sqrt(np.mean(np.square(errors))) > 0.9 * np.std(shares)  # not too small on average


def test_a_share_of_none_is_not_certain() -> None:
    low, high = share_interval(pair_mean(np.zeros((20, 20))), 20)
    assert low == 0
    assert high == pytest.approx(1 - 0.025 ** (1 / 10))  # ten disjoint pairs
