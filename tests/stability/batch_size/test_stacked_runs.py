"""Stacked trainings against torch's optimizers, one network at a time."""

import pytest
import torch

import workbench as wb
from workbench.stability.batch_size.stacked_runs import (
    StackedRuns,
    batch_orders,
    examples_of,
    stacked_starts,
)

MAKERS = {
    "sgd": lambda parameters, rate: torch.optim.SGD(parameters, lr=rate),
    "momentum": lambda parameters, rate: torch.optim.SGD(parameters, lr=rate, momentum=0.9),
    "adam": lambda parameters, rate: torch.optim.Adam(parameters, lr=rate),
}


@pytest.mark.parametrize("name", MAKERS)
def test_every_copy_is_trained_as_torch_does(make_problem, name):
    problems, rates = [make_problem(0), make_problem(1).with_data(make_problem(0)._data)], [0.03, 0.2]
    inputs, targets = examples_of(problems[0])
    places = batch_orders(48, 7, 6, [3, 4])
    runs = StackedRuns(
        problems[0], torch.stack([each.parameters_vector() for each in problems]), torch.tensor(rates), name
    )
    for step in range(6):
        runs.step(places[:, step])
    losses = runs.losses()
    for copy, (problem, rate) in enumerate(zip(problems, rates, strict=True)):
        optimizer = MAKERS[name](problem.model.parameters(), rate)
        for step in range(6):
            optimizer.zero_grad()
            chosen = places[copy, step]
            problem.loss(problem.model(inputs[chosen]), targets[chosen]).backward()
            optimizer.step()
        torch.testing.assert_close(runs.weights[copy], problem.parameters_vector(), rtol=1e-7, atol=1e-7)
        assert losses[copy].item() == pytest.approx(problem.loss_at(), rel=1e-6)


def test_batches_have_no_example_twice_and_depend_on_the_seed_alone():
    places = batch_orders(10, 4, 300, [0, 5])
    assert places.shape == (2, 300, 4)
    assert (places.sort().values.diff() > 0).all()
    assert torch.equal(places[1:], batch_orders(10, 4, 300, [5]))
    counts = places[0].flatten().bincount(minlength=10)
    assert counts.sum() == 1200
    assert ((counts - 120).abs() < 4 * (300 * 0.4 * 0.6) ** 0.5).all()


def test_orders_are_drawn_a_row_at_a_time(monkeypatch):
    """All rows at once would be as large as all the data for each step."""
    shapes, rand = [], torch.rand
    monkeypatch.setattr(torch, "rand", lambda *shape, **rest: shapes.append(shape) or rand(*shape, **rest))
    batch_orders(10, 4, 5, [0])
    assert shapes == [(10,)] * 5


def test_starts_take_turns(make_problem):
    problems = [make_problem(0), make_problem(1).with_data(make_problem(0)._data)]
    first, weights = stacked_starts(problems, 3)
    assert first is problems[0]
    expected = [problems[place].parameters_vector() for place in (0, 1, 0)]
    assert torch.equal(weights, torch.stack(expected))


def test_starts_of_other_networks_or_data_are_refused(make_problem):
    problem, other = make_problem(0), make_problem(1)
    with pytest.raises(ValueError, match="other data"):
        stacked_starts([problem, other], 2)
    wider = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 3)).double()
    with pytest.raises(ValueError, match="one network"):
        stacked_starts([problem, wb.Problem(wider, problem.loss, problem._data)], 2)
    with pytest.raises(ValueError, match="problem is empty"):
        stacked_starts([], 2)


def test_what_cannot_be_stacked_is_refused(make_problem):
    problem = make_problem()
    start, rate = problem.parameters_vector()[None], torch.ones(1)
    with pytest.raises(ValueError, match="did you mean 'adam'"):
        StackedRuns(problem, start, rate, "adm")
    whole = wb.Problem(problem.model, problem.loss, problem._data, weight="batch")
    with pytest.raises(ValueError, match=r"need batches of \(inputs, targets\)"):
        StackedRuns(whole, start, rate)
