"""Limits of stability against outcomes that are known, and against runs one by one."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import workbench as wb
from workbench.progress import listening
from workbench.stability.batch_size import StableRates, measure_stable_rates
from workbench.stability.batch_size.stacked_runs import batch_orders, examples_of

SIZES = np.array([1, 4, 16, 64])


def outcomes(limits: np.ndarray, rates: np.ndarray) -> StableRates:
    """A result whose runs are stable below limits (s, k)."""
    ratios = np.where(rates[None, :, None] < limits[:, None], 0.5, 2.0)[None]
    return StableRates(("sgd",), SIZES, rates[None], ratios, steps=1, seed=0)


def test_a_power_of_the_batch_size_is_found_where_it_is_not_saturated():
    limits = 0.02 * np.minimum(SIZES, 16)[:, None] ** 0.7 * np.exp(0.1 * np.arange(4))
    result = outcomes(limits, np.geomspace(0.01, 1, 60))
    assert np.abs(np.log(result.largest("sgd") / limits)).max() <= math.log(100) / 59 / 2 + 1e-9
    assert result.unsaturated("sgd").tolist() == [True, True, True, False]
    slope = result.slope("sgd")
    assert slope.value == pytest.approx(0.7, abs=0.02)
    assert slope.high - slope.low < 0.1  # the seeds differ by a factor, not in their slopes
    assert result.misplaced("sgd") == 0


@pytest.mark.parametrize("seeds", [2, 4])
def test_intervals_of_slopes_hold_the_truth_as_often_as_they_say(seeds):
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(400):
        logs = 0.5 * np.log(SIZES)[:, None] + 0.3 * rng.standard_normal((4, seeds))
        result = outcomes(0.05 * np.exp(logs), np.geomspace(0.001, 10, 400))
        slope = result.slope("sgd")
        hits += slope.low <= 0.5 <= slope.high
    assert abs(hits / 400 - 0.95) < 4 * (0.95 * 0.05 / 400) ** 0.5


@pytest.mark.parametrize("spread", [0.0, 0.05])
def test_intervals_count_the_spacing_of_rates_that_all_seeds_share(spread):
    rng = np.random.default_rng(1)
    hits, errors = 0, []
    for _ in range(400):
        logs = math.log(0.05 * rng.uniform(1, 2)) + rng.uniform(0.3, 0.6) * np.log(SIZES)[:, None]
        true = (logs[-1, 0] - logs[0, 0]) / math.log(64)
        result = outcomes(np.exp(logs + spread * rng.standard_normal((4, 4))), np.geomspace(0.001, 10, 25))
        slope = result.slope("sgd")
        hits += slope.low <= true <= slope.high
        errors.append(np.log(result.mean("sgd")[0]) - logs[:, 0])
    assert hits / 400 > 0.95 - 4 * (0.95 * 0.05 / 400) ** 0.5
    told = result.mean("sgd")[1]
    spacing = math.log(10000) / 24
    assert (told > 0.999 * spacing / math.sqrt(12)).all()
    counted = math.hypot(spacing / math.sqrt(12), spread / 2)
    assert np.std(errors) < 1.1 * counted
    if not spread:  # seeds apart average some of it out
        assert np.std(errors) > 0.9 * counted


def test_of_limits_that_do_equally_well_the_middle_is_taken():
    result = outcomes(np.full((4, 2), 0.1), np.geomspace(0.01, 1, 22))
    ratios = result.ratios.copy()
    ratios[0, 0, :, 0] = np.repeat([0.5, 2.0, 0.5, 2.0], [10, 1, 1, 10])
    assert result.replace(ratios=ratios).largest("sgd")[0, 0] == pytest.approx(0.1)


def test_a_lucky_run_above_the_limit_does_not_move_it():
    result = outcomes(np.full((4, 2), 0.1), np.geomspace(0.01, 1, 21))
    lucky = result.ratios.copy()
    lucky[0, 0, -1, 0], lucky[0, 0, 0, 1] = 0.5, 1.5
    moved = result.replace(ratios=lucky)
    assert np.array_equal(moved.largest("sgd"), result.largest("sgd"))
    assert moved.misplaced("sgd") == pytest.approx(2 / result.ratios.size)


def test_limits_beyond_the_rates_are_counted():
    limits = np.array([[0.001, 0.1], [0.1, 0.1], [0.1, 0.1], [0.1, 50.0]])
    result = outcomes(limits, np.geomspace(0.01, 1, 11))
    assert result.at_edge("sgd") == 2
    assert "2 of the limits beyond" in result.summary()
    assert "2 limits beyond the rates" in result.plot().get_legend().get_texts()[0].get_text()


def test_gradient_descent_on_a_quadratic_is_stable_up_to_two_over_the_curvature():
    model = nn.Linear(2, 1, bias=False).double()
    inputs = torch.tensor([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]]).double()
    problem = wb.Problem(model, nn.MSELoss(), (inputs, torch.zeros(4, 1).double()))
    largest = float(torch.linalg.eigvalsh(wb.curvature.hessian(problem).dense())[-1])
    found = measure_stable_rates(
        problem, [2, 4], optimizers=["sgd", "momentum"], ranges=dict.fromkeys(["sgd", "momentum"], (0.05, 5)),
        rates=60, steps=400, seeds=2,
    )  # fmt: skip
    spacing = math.log(100) / 59
    for name, factor in (("sgd", 1.0), ("momentum", 1.9)):
        assert np.abs(np.log(found.largest(name)[1] * largest / 2 / factor)).max() < spacing
        assert (found.largest(name)[0] < found.largest(name)[1]).all()  # batches of 2 see more


def test_outcomes_are_those_of_single_runs(make_problem):
    problems = [make_problem(0), make_problem(1).with_data(make_problem(0)._data)]
    found = measure_stable_rates(
        problems, [3, 48], optimizers=["sgd"], ranges={"sgd": (0.1, 3)}, rates=3, steps=5, seeds=2, seed=7
    )
    inputs, targets = examples_of(problems[0])
    for run, problem in enumerate(problems):
        places = batch_orders(48, 3, 5, [7 + run])[0]
        theta = problem.parameters_vector()
        for chosen in places:
            batch = (inputs[chosen], targets[chosen])
            theta = theta - found.rates[0, 1] * problem.batch_gradient(problem.as_parameters(theta), batch)
        expected = problem.loss_at(theta) / problem.loss_at()
        assert found.ratios[0, 0, 1, run] == pytest.approx(expected, rel=1e-6)


def test_the_result_is_drawn_and_saved(make_problem, tmp_path):
    found = measure_stable_rates(make_problem(), [2, 8], rates=4, steps=3, seeds=2)
    assert len(found.frame()) == 3 * 2
    assert found.slopes()["optimizer"].tolist() == ["sgd", "momentum", "adam"]
    axis = found.plot(curvatures={"2/λ₁(B)": np.ones(2)})
    assert "2/λ₁(B)" in [text.get_text() for text in axis.get_legend().get_texts()]
    again = wb.load_result(found.save(tmp_path / "rates"))
    assert again.summary() == found.summary()


def test_an_interrupt_keeps_the_optimizers_that_are_done(make_problem):
    def stop(description: str, done: int, total: int | None) -> None:
        if "momentum" in description:
            raise KeyboardInterrupt

    with listening(stop):
        found = measure_stable_rates(make_problem(), [2, 8], rates=2, steps=2, seeds=2)
    assert found.interrupted
    assert found.optimizers == ("sgd",)


def test_what_cannot_be_measured_is_refused(make_problem):
    problem = make_problem()
    with pytest.raises(ValueError, match="2 batch sizes"):
        measure_stable_rates(problem, [4])
    with pytest.raises(ValueError, match="sizes=49"):
        measure_stable_rates(problem, [4, 49])
    with pytest.raises(ValueError, match="did you mean 'sgd'"):
        measure_stable_rates(problem, [4, 8], optimizers=["sgdd"])
    with pytest.raises(ValueError, match="highest rate of sgd="):
        measure_stable_rates(problem, [4, 8], optimizers=["sgd"], ranges={"sgd": (1, 0.1)})
    with pytest.raises(ValueError, match="problem is empty"):
        measure_stable_rates([], [4, 8])
