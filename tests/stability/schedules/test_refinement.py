"""Schedules refined by norms, against linear decay, sums written out, and runs on a convex function."""

import math

import numpy as np
import pytest
import torch

import workbench as wb
from workbench.stability.schedules import bound_of_weights, shape, steps_of_weights


def written_out(norms, power):
    """The step sizes without a sum of a sum."""
    weights = [norm**-power for norm in norms]
    rates = [weight * math.fsum(weights[place + 1 :]) for place, weight in enumerate(weights)]
    return np.array(rates) / max(rates)


def log_normal(steps=200, seed=0):
    return np.exp(np.random.default_rng(seed).standard_normal(steps))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_equal_norms_give_exactly_linear_decay(optimizer):
    for scale in (1.0, 0.37, 1e-200, 1e200):
        refined = wb.stability.refine_schedule(np.full(101, scale), optimizer)
        np.testing.assert_array_equal(refined.rates, shape("linear", 101))
        assert refined.peak == 0
        assert refined.distance_to_linear == 0


@pytest.mark.parametrize(("optimizer", "power"), [("sgd", 2), ("adam", 1)])
def test_the_steps_are_the_sums_written_out(optimizer, power):
    norms = log_normal()
    refined = wb.stability.refine_schedule(norms, optimizer, smoothing=0)
    np.testing.assert_allclose(refined.rates, written_out(norms, power), rtol=1e-12)
    assert refined.rates.max() == 1
    assert refined.rates[-1] == 0
    assert (refined.rates >= 0).all()


@pytest.mark.parametrize("scale", [1e-150, 3.0, 1e150])
def test_the_scale_of_the_norms_does_not_matter(scale):
    norms = log_normal()
    rates = wb.stability.refine_schedule(norms).rates
    np.testing.assert_allclose(wb.stability.refine_schedule(scale * norms).rates, rates, rtol=1e-9)


def test_large_norms_at_first_make_a_warm_up_and_at_the_end_a_quick_one():
    norms = np.ones(100)
    early, late = norms.copy(), norms.copy()
    early[:20], late[-20:] = 2, 2
    warm = wb.stability.refine_schedule(early, smoothing=0)
    assert warm.peak == pytest.approx(20 / 99)
    assert warm.rates[0] < 0.4
    quick = wb.stability.refine_schedule(late, smoothing=0)
    assert (quick.rates[-20:-1] < 0.5 * shape("linear", 100)[-20:-1]).all()


def test_the_median_takes_single_spikes_away():
    norms = np.ones(100)
    norms[[3, 50, 97]] = 1000
    np.testing.assert_array_equal(wb.stability.refine_schedule(norms).rates, shape("linear", 100))
    assert wb.stability.refine_schedule(norms, smoothing=0).distance_to_linear > 0.5


def test_the_window_repeats_the_first_norm_and_reflects_at_the_end():
    norms = np.arange(1.0, 11.0)
    smoothed = wb.stability.refine_schedule(norms, smoothing=0.5).smoothed  # five norms a window
    np.testing.assert_array_equal(smoothed, [1, 2, 3, 4, 5, 6, 7, 8, 9, 9])


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.03, 0.9])
def test_the_medians_are_those_of_a_loop(smoothing):
    norms = log_normal(150)
    half = int(smoothing * 150) // 2
    for step, found in enumerate(wb.stability.refine_schedule(norms, smoothing=smoothing).smoothed):
        places = np.arange(step - half, step + half + 1)
        places = np.where(places > 149, 2 * 149 - places, np.maximum(places, 0))
        assert found == np.median(norms[places])


def test_the_weights_are_the_best_of_the_bound():
    norms = log_normal()
    best = norms**-2.0
    distance = 3.0
    scale = distance / math.sqrt(best.sum())
    least = bound_of_weights(scale * best, norms**2, distance)
    assert least == pytest.approx(distance / math.sqrt(best.sum()))
    random = np.random.default_rng(1)
    for _ in range(100):
        other = scale * best * np.exp(0.3 * random.standard_normal(len(best)))
        assert bound_of_weights(other, norms**2, distance) > least


@pytest.mark.parametrize("seed", range(20))
def test_the_bound_holds_of_every_run_without_noise(seed):
    """The largest of random linear functions and 0."""
    random = np.random.default_rng(seed)
    slopes, minimum = random.standard_normal((30, 4)), random.standard_normal(4)
    point, weights = np.zeros(4), np.exp(random.standard_normal(40))
    weights /= weights.sum()
    squares = []
    for step in steps_of_weights(weights):
        values = slopes @ (point - minimum)
        gradient = slopes[values.argmax()] if values.max() > 0 else np.zeros(4)
        squares.append(gradient @ gradient)
        gap, point = max(values.max(), 0), point - step * gradient
    assert gap <= bound_of_weights(weights, np.array(squares), np.linalg.norm(minimum)) * (1 + 1e-12)


def test_the_scheduler_sets_the_rates_of_all_groups():
    parameters = [torch.nn.Parameter(torch.ones(1)) for _ in range(2)]
    optimizer = torch.optim.SGD([{"params": parameters[:1]}, {"params": parameters[1:], "lr": 4.0}], lr=2.0)
    refined = wb.stability.refine_schedule(log_normal(12))
    scheduler = refined.scheduler(optimizer)
    for rate in [*refined.rates, 0.0]:
        assert [group["lr"] for group in optimizer.param_groups] == [2 * rate, 4 * rate]
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize(
    ("norms", "options", "message"),
    [
        ([1.0], {}, "at least 2 norms"),
        ([1.0, 0.0], {}, r"gradient_norms\[1\]=0.0"),
        ([1.0, math.nan, 1.0], {}, r"gradient_norms\[1\]=nan"),
        ([1.0, 1.0], {"optimizer": "adan"}, "did you mean 'adam'"),
        ([1.0, 1.0], {"smoothing": 1.0}, "smoothing=1.0"),
    ],
)
def test_what_is_no_training_is_refused(norms, options, message):
    with pytest.raises(ValueError, match=message):
        wb.stability.refine_schedule(norms, **options)


def test_a_schedule_saves_tells_and_draws_itself(tmp_path):
    refined = wb.stability.refine_schedule(log_normal())
    loaded = wb.load_result(refined.save(tmp_path / "refined.zip"))
    np.testing.assert_array_equal(loaded.rates, refined.rates)
    assert len(refined.frame()) == 200
    assert "largest rate after" in refined.summary()
    assert refined.plot().get_lines()[-1].get_label() == "refined"
