"""Trainings by schedule: the batched ones against loops, both passes, and what the contest tells."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

import workbench as wb
from workbench.progress import listening
from workbench.stability.experiments import ScheduleContest, compare_schedules
from workbench.stability.experiments.networks import build_network
from workbench.stability.experiments.two_passes.digit_networks import DigitNetwork
from workbench.stability.experiments.two_passes.logistic_suite import LOGISTIC_SUITE, PENALTY
from workbench.stability.experiments.two_passes.schedule_contest import SCHEDULES
from workbench.stability.experiments.two_passes.trainable import batch_places
from workbench.stability.schedules import refine_schedule, shape


@pytest.fixture(scope="module")
def contest():
    return compare_schedules(["iris", "digits-3-8"], steps=60, seeds=3, tuning_seeds=1)


def test_a_regression_is_trained_as_a_loop_trains_it():
    problem = LOGISTIC_SUITE["iris"]()
    rates = np.array([[shape("linear", 12) * 2.0, shape("constant", 12) * 0.3]])
    found = problem.train(rates, [4, 7])
    inputs, labels = problem.train_set
    for at, seed in enumerate([4, 7]):
        weights = torch.zeros(inputs.shape[1], dtype=torch.float64, requires_grad=True)

        def loss(rows, weights=weights):
            return torch.nn.functional.softplus(-labels[rows] * (inputs[rows] @ weights)).mean() + (
                PENALTY / 2 * weights.square().sum()
            )

        for step, rows in enumerate(batch_places(len(labels), 16, 12, [seed])[0]):
            (gradient,) = torch.autograd.grad(loss(rows), weights)
            assert found.norms[0, at, step] == pytest.approx(float(gradient.norm()), rel=1e-9)
            weights.data -= rates[0, at, step] * gradient
        excess = float(loss(slice(None)).detach()) - problem.minimum
        assert found.values[0, 0, at] == pytest.approx(excess, rel=1e-9)


@pytest.mark.parametrize("name", LOGISTIC_SUITE)
def test_the_minimum_is_that_of_another_method(name):
    problem = LOGISTIC_SUITE[name]()
    inputs, labels = (each.numpy() for each in problem.train_set)

    def loss(weights):
        margins = labels * (inputs @ weights)
        value = np.logaddexp(0, -margins).mean() + PENALTY / 2 * weights @ weights
        share = -labels / (1 + np.exp(margins)) / len(labels)
        return value, inputs.T @ share + PENALTY * weights

    options = {"maxiter": 5000, "ftol": 1e-15, "gtol": 1e-9}
    found = minimize(loss, np.zeros(inputs.shape[1]), jac=True, method="L-BFGS-B", options=options)
    assert problem.minimum == pytest.approx(found.fun, rel=1e-7)
    assert problem.minimum <= found.fun + 1e-12


@pytest.mark.parametrize("name", ["mlp", "cnn", "transformer"])
def test_a_network_is_trained_as_torch_trains_it(name):
    rates = np.stack([[shape("linear", 4) * 1e-2] * 2, [shape("constant", 4) * 3e-3] * 2])
    problem = DigitNetwork(name)
    found = problem.train(rates, [3, 5])
    data = wb.problems.datasets.digits()
    model = build_network(name, 5)
    optimizer = torch.optim.Adam(model.parameters())
    for step, rows in enumerate(batch_places(len(data.train[1]), 32, 4, [5])[0]):
        optimizer.param_groups[0]["lr"] = rates[1, 1, step]
        optimizer.zero_grad()
        inputs = data.train[0].flatten(1)
        torch.nn.functional.cross_entropy(model(inputs[rows]), data.train[1][rows]).backward()
        norm = sum(float(parameter.grad.abs().sum()) for parameter in model.parameters())
        assert found.norms[1, 1, step] == pytest.approx(norm, rel=1e-3)
        optimizer.step()
    loss = torch.nn.functional.cross_entropy(model(inputs), data.train[1])
    assert found.values[0, 1, 1] == pytest.approx(float(loss.detach()), rel=1e-3)


def test_the_batches_go_through_the_data_in_an_order_of_the_seed():
    places = batch_places(10, 4, 5, [0, 1])
    assert places.shape == (2, 5, 4)
    for one in places:
        flat = one.flatten()
        assert sorted(flat[:10].tolist()) == sorted(flat[10:].tolist()) == list(range(10))
    assert (places[0] != places[1]).any()


def test_the_second_pass_has_the_schedule_of_the_first(contest):
    for place in range(2):
        for seed in range(contest.seeds):
            rates = refine_schedule(contest.norms[place, seed], "sgd", smoothing=0.1).rates
            np.testing.assert_array_equal(contest.refined[place, seed], rates)
    problem = LOGISTIC_SUITE["digits-3-8"]()
    base = contest.base_rates[1, SCHEDULES.index("refined")]
    again = problem.train(contest.refined[1][None] * base, range(3))
    np.testing.assert_allclose(contest.values[:, 1, -1], again.values[:, 0], rtol=1e-9)


def test_linear_decay_beats_the_constant_rate_and_refining_wins_where_classes_are_apart(contest):
    assert contest.ratio("iris", "1/sqrt(t)").low > 1
    assert contest.ratio("digits-3-8", "refined").high < 1
    assert contest.ratio("iris", "linear").mean == 1


def test_the_ratios_by_hand():
    values = np.ones((3, 2, 5, 2))
    values[0, :, 3] = [[1, 4], [2, 2]]  # linear decay
    values[0, :, 4] = [[2, 2], [1, 1]]  # refined: 2 and 1/2, then 1/2 twice
    found = ScheduleContest(
        ("iris", "wine"), values, np.ones((2, 5)), np.zeros((2, 5), bool), np.ones((2, 2, 20)),
        np.ones((2, 2, 20)), 0.1, 1, 30,
    )  # fmt: skip
    assert found.ratio("iris", "refined").mean == pytest.approx(1)
    assert found.ratio("wine", "refined")[:3] == pytest.approx((0.5, 0.5, 0.5))
    assert found.overall("refined").mean == pytest.approx(0.5**0.5)
    assert found.overall("refined", ["wine"]).mean == pytest.approx(0.5)
    assert found.wins("refined") == (1, 0)


def test_a_contest_saves_tells_and_draws_itself(contest, tmp_path):
    loaded = wb.load_result(contest.save(tmp_path / "contest.zip"))
    assert loaded.summary() == contest.summary()
    assert "trainings of 60 steps" in contest.summary()
    assert len(contest.frame()) == 2 * 5
    assert [each.get_text() for each in contest.plot().get_yticklabels()] == ["iris", "digits-3-8"]
    assert len(contest.plot_schedules().get_lines()) == 3


def test_an_interrupt_returns_the_problems_that_are_done():
    def stop(description, done, total):
        if done:
            raise KeyboardInterrupt

    with listening(stop):
        found = compare_schedules(["iris", "wine"], steps=20, seeds=2, tuning_seeds=1)
    assert found.interrupted
    assert found.problems == ("iris",)
    assert "INTERRUPTED" in found.summary()


@pytest.mark.parametrize(
    ("problems", "options", "message"),
    [
        ([], {}, "problems is empty"),
        (["iriss"], {}, "did you mean 'iris'"),
        (["iris"], {"steps": 5}, "steps=5"),
        (["iris"], {"smoothing": -1.0}, "smoothing=-1.0"),
    ],
)
def test_what_cannot_be_compared_is_refused(problems, options, message):
    with pytest.raises(ValueError, match=message):
        compare_schedules(problems, **options)
