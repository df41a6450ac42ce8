"""Many runs: against a loop, exact means, the literature's rates, the bounds, and the law of tails."""

import math

import numpy as np
import pytest
import torch

import workbench as wb
from workbench.progress import listening
from workbench.stability.last_iterates import rule_steps, sample_runs
from workbench.stability.last_iterates.noises import NOISES, PARETO_TAIL


@pytest.fixture(scope="module")
def sharp():
    return sample_runs(noise="signs", horizons=(64, 128, 256, 512), runs=500, dim=50)


@pytest.fixture(scope="module")
def smooth():
    return sample_runs("quadratic", horizons=(4, 16, 64), runs=20_000, dim=1)


def test_the_last_iterate_falls_as_the_root_and_linear_decay_on_a_sharp_minimum_faster(sharp):
    for rule in ("decaying", "constant"):
        slope = sharp.slope(rule)
        assert slope.value == pytest.approx(-0.5, abs=0.03)
        assert slope.low < slope.value < slope.high
    assert sharp.slope("linear").value == pytest.approx(-1.5, abs=0.1)
    shares = sharp.mean("linear")[0] / sharp.mean("constant")[0]
    assert (np.diff(shares) < 0).all()
    assert shares[-1] < 0.01


def test_no_mean_is_above_its_bound(sharp, smooth):
    for found in (sharp, smooth):
        assert found.largest_share <= 1
        assert (found.blocks[:, 0].mean(-1) <= found.bounds).all()


def test_exact_means_on_a_parabola(smooth):
    """Mean squares follow a recursion; every rule within 4 standard errors of it at every T."""
    for rule in smooth.rules:
        mean, error = smooth.mean(rule)
        for place, count in enumerate(smooth.horizons):
            limits = {"smoothness": 1.0, "convexity": 1.0}
            square = 1.0
            for step in rule_steps(rule, int(count), smooth.base, **limits):
                square = (1 - step) ** 2 * square + step**2
            assert abs(mean[place] - square / 2) < 4 * error[place], (rule, count)


def test_without_noise_it_is_gradient_descent_exactly():
    found = sample_runs("quadratic", ["constant"], noise="none", horizons=(2, 5), runs=100, dim=3, base=9.0)
    curvatures = torch.logspace(-1, 0, 3)
    for place, count in enumerate(found.horizons):
        point = torch.zeros(3)
        for _ in range(count):  # the steps are cut at 1/(2L)
            point = point - 0.5 * curvatures * (point - 1)
        gap = float((curvatures * (point - 1) ** 2).sum()) / 2
        assert found.mean("constant")[0][place] == pytest.approx(gap, rel=1e-5)
        assert np.ptp(found.blocks[0, 0, place]) == 0


def test_averages_are_those_of_a_loop():
    found = sample_runs("absolute", ["linear"], noise="none", horizons=(4, 7), runs=100, dim=1)
    for place, count in enumerate(found.horizons):
        point, points = 0.0, []
        for step in rule_steps("linear", int(count), found.base):
            point -= step * np.sign(point - 1)
            points.append(point)
        gaps = [abs(np.mean(part) - 1) for part in (points[-1:], points, points[count // 2 :])]
        np.testing.assert_allclose(found.blocks[0, :, place].mean(-1), gaps, atol=1e-6)


def test_heavy_tails_fall_at_least_as_promised():
    found = sample_runs(noise="pareto", horizons=(128, 256, 512, 1024), runs=1000, dim=1)
    assert found.power == 1.5
    assert found.largest_share <= 1
    for rule in ("constant", "linear"):  # of decaying steps the logarithm is still too large a part
        assert found.slope(rule).high <= -(1 - 1 / 1.5)
    plain = sample_runs(noise="pareto", horizons=(128, 256), runs=1000, dim=1, mirror=False)
    assert np.isinf(plain.bounds).all()
    assert math.isnan(plain.bound_slope("linear"))


def test_mirror_descent_by_hand():
    found = sample_runs("absolute", ["constant"], noise="none", horizons=(2, 3), runs=100, dim=1, power=1.5)
    steps = rule_steps("constant", 3, found.base, power=1.5)
    point = 0.0
    for step in steps:
        dual = np.sign(point) * point**2 - step * np.sign(point - 1)
        point = np.sign(dual) * math.sqrt(abs(dual))
    assert found.mean("constant")[0][1] == pytest.approx(abs(point - 1), rel=1e-5)


def test_light_tails_are_straight_and_heavy_ones_are_not():
    options = {"horizons": (8, 64), "runs": 20_000, "dim": 1}
    light = sample_runs("absolute", ["constant"], noise="gaussian", **options)
    value, low, high = light.growth("constant")
    assert low < value < high
    assert value < 1.5
    heavy = sample_runs("absolute", ["constant"], noise="pareto", mirror=False, **options)
    assert heavy.growth("constant")[1] > 2


def test_quantiles_are_order_statistics_with_their_intervals(smooth):
    deltas = np.array([0.5, 0.01])
    value, low, high = smooth.quantiles("constant", deltas)
    np.testing.assert_allclose(value, np.quantile(smooth.last[1], 1 - deltas), rtol=1e-2)
    assert (low < value).all()
    assert (value < high).all()


@pytest.mark.parametrize("noise", ["signs", "gaussian", "pareto"])
def test_the_noises_have_the_moments_that_the_bounds_take(noise):
    kind = NOISES[noise]
    drawn = kind.draw((400_000,), torch.Generator().manual_seed(0)).double()
    assert abs(float(drawn.sign().mean())) < 0.01
    power = 1.1 if noise == "pareto" else 1.5  # whose sample mean converges
    found = (1 + drawn).abs().pow(power)
    assert float(found.mean()) == pytest.approx(kind.mean_power(power), rel=0.03)
    if noise == "pareto":
        for size in (1.0, 10.0):
            share = float((drawn.abs() > size).double().mean())
            assert share == pytest.approx((1 + size) ** -PARETO_TAIL, rel=0.03)
        assert kind.mean_power(PARETO_TAIL) == math.inf == kind.variance
    else:
        assert float(drawn.var()) == pytest.approx(kind.variance, rel=0.01)
        assert kind.mean_power(2.0) == pytest.approx(2.0)


def test_a_seed_is_a_result():
    first, again, other = (sample_runs(horizons=(4, 8), runs=200, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.blocks, again.blocks)
    assert (first.blocks != other.blocks).any()


def test_an_interrupt_returns_the_horizons_that_are_done():
    def stop(description, done, total):
        if done > 20:
            raise KeyboardInterrupt

    with listening(stop):
        found = sample_runs(horizons=(4, 8, 16, 32), runs=100)
    assert found.interrupted
    assert list(found.horizons) == [4, 8]
    assert "INTERRUPTED" in found.summary()


def test_runs_save_tell_and_draw_themselves(smooth, tmp_path):
    loaded = wb.load_result(smooth.save(tmp_path / "runs.zip"))
    assert loaded.summary() == smooth.summary()
    assert len(smooth.frame()) == 4 * 3 * 3
    assert len(smooth.rates()) == 4 * 3
    assert "slope" in smooth.plot().get_legend().get_texts()[0].get_text()
    assert len(smooth.plot_quantiles().get_lines()) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": "absolut"}, "did you mean 'absolute'"),
        ({"rules": ["strongly convex"]}, "strongly convex function"),
        ({"rules": []}, "rules is empty"),
        ({"noise": "pareto", "power": 2.0}, "pass base="),
        ({"objective": "quadratic", "noise": "pareto"}, "power=1.5"),
        ({"horizons": (8, 4)}, "ascending"),
        ({"runs": 150}, "multiple of 100"),
        ({"power": 3.0}, "power=3.0"),
    ],
)
def test_what_cannot_be_run_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        sample_runs(**({"horizons": (4, 8), "runs": 100} | options))
