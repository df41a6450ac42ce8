"""Bootstrap intervals against a loop over draws, and against how often they hold the truth."""

import numpy as np
import pytest

from workbench.saliency.evidence.intervals import bootstrap_interval, grouped_mean


def test_a_mean_leaves_undefined_values_out_and_groups_count_alike() -> None:
    values = np.array([1.0, 3.0, np.nan, 10.0])
    assert grouped_mean(values) == pytest.approx(14 / 3)
    assert grouped_mean(values, np.array([0, 0, 0, 7])) == pytest.approx((2 + 10) / 2)
    assert grouped_mean(values, np.array([0, 0, 5, 7])) == pytest.approx((2 + 10) / 2)
    assert np.isnan(grouped_mean(np.array([np.nan])))


@pytest.mark.parametrize("grouped", [False, True])
def test_the_interval_is_that_of_a_loop_over_the_same_draws(grouped: bool) -> None:
    random = np.random.default_rng(1)
    values = random.normal(size=40)
    values[[3, 8]] = np.nan
    groups = random.integers(0, 3, size=40) if grouped else None
    low, high = bootstrap_interval(values, groups, seed=5)
    draws = np.random.default_rng(5).multinomial(40, np.full(40, 1 / 40), size=1000)
    means = [grouped_mean(np.repeat(values, draw), None if groups is None else np.repeat(groups, draw))
             for draw in draws]  # fmt: skip
    np.testing.assert_allclose((low, high), np.quantile(means, [0.025, 0.975]), rtol=1e-12)


def test_curves_have_the_interval_of_each_column_and_seeds_decide() -> None:
    curves = np.random.default_rng(0).normal(size=(30, 4))
    curves[0, 1] = np.nan
    low, high = bootstrap_interval(curves, seed=3)
    for column in range(4):
        alone = bootstrap_interval(curves[:, column], seed=3)
        np.testing.assert_allclose((low[column], high[column]), alone)
    assert bootstrap_interval(curves[:, 0], seed=3) == bootstrap_interval(curves[:, 0], seed=3)
    assert bootstrap_interval(curves[:, 0], seed=3) != bootstrap_interval(curves[:, 0], seed=4)


def test_fewer_than_two_defined_values_have_no_interval() -> None:
    for values in (np.array([]), np.array([1.0]), np.array([1.0, np.nan])):
        assert np.isnan(bootstrap_interval(values)).all()


def test_intervals_hold_the_true_mean_about_as_often_as_they_say() -> None:
    random = np.random.default_rng(0)
    held = []
    for trial in range(300):
        low, high = bootstrap_interval(random.exponential(size=60), seed=trial)
        held.append(low <= 1 <= high)
    # A percentile interval of 60 skewed values is known to hold the mean a little too rarely.
    assert 0.88 < np.mean(held) < 0.97
