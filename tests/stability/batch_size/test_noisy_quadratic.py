"""Runs of the noisy quadratic against the exact recursion, and both laws of the batch size."""

import numpy as np
import pytest
import torch

from workbench.progress import listening
from workbench.stability.batch_size import noisy_quadratic, run_quadratic, second_moments, settled_rate

EXACT = ("sgd", "momentum", "normalised")


@pytest.fixture(scope="module")
def measured():
    return run_quadratic((1, 4, 16, 64, 1024), runs=400, steps=600)


@pytest.mark.parametrize("method", EXACT)
def test_the_closed_form_is_where_the_recursion_settles_at_its_start(method):
    for noise in (0.1, 1.0, 8.0):
        rate = float(settled_rate(method, 0.7, noise))
        assert second_moments(method, rate, 0.7, noise, 8000)[-1] == pytest.approx(1, rel=1e-6)
        above = second_moments(method, 1.02 * rate, 0.7, noise, 8000)[-1]
        below = second_moments(method, 0.98 * rate, 0.7, noise, 8000)[-1]
        assert below < 0.99 < 1.01 < above


@pytest.mark.parametrize("method", EXACT)
def test_the_recursion_is_the_mean_of_runs(method):
    rate, noise, runs = 0.6 * float(settled_rate(method, 1.0, 3.0)), 3.0, 40_000
    moments = second_moments(method, rate, 1.0, noise, 25)
    random = torch.Generator().manual_seed(1)
    x, velocity = torch.ones(runs), torch.zeros(runs)
    for step in range(25):
        gradient = x + noise * torch.randn(runs, generator=random)
        if method == "normalised":
            gradient = gradient / (moments[step] + noise**2) ** 0.5
        velocity = (0.9 if method == "momentum" else 0.0) * velocity + gradient
        x = x - rate * velocity
        squares = x.square()
        error = squares.std() / runs**0.5
        assert abs(squares.mean() - moments[step + 1]) < 4.5 * error


@pytest.mark.parametrize("method", EXACT)
def test_measured_rates_are_those_in_closed_form(measured, method):
    rates, errors = measured.measured(method)
    exact = measured.exact(method)
    assert np.all(np.abs(rates - exact) < 4 * errors + 0.01 * exact)
    assert np.all(errors < 0.1 * exact)


@pytest.mark.parametrize("planted", [0.9, 1.1])
def test_a_closed_form_that_is_wrong_is_seen(planted, monkeypatch):
    """Runs with another curvature than the rates that they try are made for, where the rate is sharp."""
    monkeypatch.setattr(
        noisy_quadratic, "settled_rate", lambda method, _, *rest: settled_rate(method, 1.0, *rest)
    )
    found = run_quadratic((1024, 4096), EXACT, curvature=planted, runs=400, steps=600)
    for method in EXACT:
        rates, errors = found.measured(method)
        truth = settled_rate(method, planted, 16 / np.sqrt(found.sizes))
        assert np.all(np.abs(rates - truth) < 4 * errors + 0.005 * truth)


@pytest.mark.parametrize(
    ("method", "power"), [("sgd", 1), ("momentum", 1), ("normalised", 0.5), ("adam", 0.5)]
)
def test_both_laws_hold_where_noise_counts(measured, method, power):
    slope = measured.slope(method)
    assert abs(slope.value - power) < 0.05
    assert slope.low < slope.value < slope.high


def test_intervals_of_slopes_hold_the_truth_as_often_as_they_say(measured):
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(200):
        blocks = np.sqrt(measured.sizes)[:, None] * (1 + 0.1 * rng.standard_normal((5, 20)))
        slope = measured.replace(methods=("sgd",), blocks=blocks[None]).slope("sgd")
        hits += slope.low <= 0.5 <= slope.high
    assert 0.86 < hits / 200 < 0.99  # a bootstrap of 20 blocks falls short of 0.95 by some 0.02


def test_rates_saturate_at_those_without_noise(measured):
    assert measured.exact("sgd")[-1] == pytest.approx(1.6)  # 2 / (1 + 1/4)
    assert settled_rate("sgd", 2.0, 1e-9) == pytest.approx(1.0)
    assert settled_rate("momentum", 2.0, 1e-9) == pytest.approx(1.9)
    assert settled_rate("normalised", 2.0, 1e-9) == pytest.approx(2.0)
    assert measured.critical_size == 256


def test_the_result_tells_what_was_run(measured, tmp_path):
    table = measured.frame()
    assert len(table) == 4 * 5
    assert table.query("method == 'adam'")["exact"].isna().all()
    assert "from the closed form" in measured.summary()
    assert measured.plot().get_xlabel().startswith("batch size")
    assert measured.save(tmp_path / "rates").exists()


def test_an_interrupt_keeps_the_methods_that_are_done():
    def stop(description: str, done: int, total: int | None) -> None:
        if done > 100:
            raise KeyboardInterrupt

    with listening(stop):
        found = run_quadratic((1, 2), runs=20, steps=20)
    assert found.interrupted
    assert found.methods == ("sgd",)


def test_what_cannot_be_run_is_refused():
    with pytest.raises(ValueError, match="at least 2 batch sizes"):
        run_quadratic((4,))
    with pytest.raises(ValueError, match="ascending"):
        run_quadratic((4, 2))
    with pytest.raises(ValueError, match="did you mean 'momentum'"):
        run_quadratic(methods=["momentun"])
    with pytest.raises(ValueError, match="runs=30"):
        run_quadratic(runs=30)
    with pytest.raises(ValueError, match="method='adam'"):
        settled_rate("adam", 1.0, 1.0)
