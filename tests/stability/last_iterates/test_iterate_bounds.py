"""Bounds of last iterates, against their sums written out, exact means, and the rates of the literature."""

import math

import numpy as np
import pytest

from workbench.stability.last_iterates import last_iterate_bound, rule_steps
from workbench.stability.last_iterates.iterate_bounds import modulus

COUNTS = 2 ** np.arange(6, 15)


def written_out(steps, square, divergence):
    """The sums as they stand, with the step that is not made."""
    sizes = [*steps, steps[-1]]
    ends = [sum(sizes[k:]) for k in range(len(sizes))]
    spreads = [sum(size**2 for size in sizes[k:]) * square / 2 for k in range(len(sizes))]
    rises = [sizes[k] / ends[k] * spreads[k] / ends[k + 1] for k in range(len(steps))]
    return (divergence + spreads[0]) / ends[0] + sum(rises)


def scaled_bounds(rule, **options):
    """Bounds times the root of T."""
    return np.array(
        [last_iterate_bound(rule_steps(rule, count), 1.0, 0.5, **options) for count in COUNTS]
    ) * np.sqrt(COUNTS)


@pytest.mark.parametrize("rule", ["decaying", "constant", "linear"])
def test_the_bound_is_the_sums_written_out(rule):
    steps = rule_steps(rule, 12, 0.7)
    assert last_iterate_bound(steps, 1.7, 2.3) == pytest.approx(written_out(steps, 1.7, 2.3), rel=1e-12)


def test_one_step_by_hand():
    """Two equal steps, one of them not made: (D + 2 s)/(2 η) for the mean, η/(2 η) · 2 s/η on top."""
    eta, square, divergence = 0.3, 1.5, 0.8
    spread = eta**2 * square / 2
    expected = (divergence + 2 * spread) / (2 * eta) + spread / eta
    assert last_iterate_bound(np.array([eta]), square, divergence) == pytest.approx(expected)


@pytest.mark.parametrize(("rule", "rise"), [("constant", 1 / 2), ("decaying", 1 / 2 + 1 / 4)])
def test_a_logarithm_is_in_the_bound_of_these(rule, rise):
    """Half for the harmonic sum; a quarter where V is one, too: the sum of 1/t over twice that of 1/√t."""
    rises = np.diff(scaled_bounds(rule)) / math.log(2)
    assert rises[-1] == pytest.approx(rise, abs=0.01)


def test_none_is_in_that_of_linear_decay():
    bounds = scaled_bounds("linear")
    assert bounds[-1] / bounds[0] == pytest.approx(1, abs=0.05)


def test_strong_convexity_takes_the_root_away():
    bounds = [
        last_iterate_bound(rule_steps("strongly convex", count, convexity=0.5), 1.0, 0.5, convexity=0.5)
        for count in COUNTS
    ]
    slopes = np.diff(np.log(bounds)) / math.log(2)
    assert -1 <= slopes[-1] < -0.85  # 1/T times a logarithm


@pytest.mark.parametrize("power", [1.5, 1.8, 2.0])
def test_a_moment_below_two_has_its_own_rate(power):
    bounds = [
        last_iterate_bound(rule_steps("linear", count, power=power), 1.0, 0.5, power=power)
        for count in COUNTS
    ]
    assert np.polyfit(np.log(COUNTS), np.log(bounds), 1)[0] == pytest.approx(1 / power - 1, abs=0.02)


@pytest.mark.parametrize("convexity", [0.0, 0.5])
def test_the_exact_mean_on_a_parabola_stays_below(convexity):
    """f = x²/2 in one dimension: mean squares of the iterates follow a recursion."""
    for rule in ("decaying", "constant", "linear"):
        for count in (1, 2, 7, 50):
            steps = rule_steps(rule, count, 0.4, smoothness=1.0)
            square = 1.0
            for step in steps:
                square = (1 - step) ** 2 * square + step**2 * 0.3
            bound = last_iterate_bound(steps, 0.3, 0.5, smoothness=1.0, convexity=convexity)
            assert square / 2 <= bound, (rule, count)


def test_gradient_descent_on_a_smooth_function_has_its_known_rate():
    """Without noise only D / sum η is left."""
    steps = np.full(10, 0.5)
    assert last_iterate_bound(steps, 0.0, 2.0, smoothness=1.0) == pytest.approx(2.0 / 5)


def test_the_modulus_of_convexity():
    assert modulus(2.0) == 1
    assert modulus(1.5) == pytest.approx(2 - math.sqrt(2), rel=1e-12)
    random = np.random.default_rng(0)
    for power in (1.2, 1.5, 1.9):
        q = power / (power - 1)
        x, y = random.standard_normal((2, 100_000)) * 3
        gap = np.abs(x) ** q - np.abs(y) ** q - q * np.sign(y) * np.abs(y) ** (q - 1) * (x - y)
        ratios = gap / np.abs(x - y) ** q
        assert modulus(power) <= ratios.min() + 1e-6
        assert ratios.min() == pytest.approx(modulus(power), rel=2e-2)


@pytest.mark.parametrize(
    ("steps", "options", "message"),
    [
        ([0.0], {}, "positive"),
        ([1.0], {"power": 2.5}, "power=2.5"),
        ([1.0], {"power": 1.0}, "power=1.0"),
        ([1.0], {"power": 1.5, "smoothness": 1.0}, "power=1.5"),
        ([1.0], {"smoothness": 1.0}, "below 1 / smoothness"),
        ([1.0], {"convexity": 2.0}, "1 / convexity"),
    ],
)
def test_what_has_no_bound_is_refused(steps, options, message):
    with pytest.raises(ValueError, match=message):
        last_iterate_bound(np.array(steps), 1.0, 1.0, **options)


def test_no_moment_no_bound():
    assert last_iterate_bound(np.ones(3), math.inf, 1.0) == math.inf
