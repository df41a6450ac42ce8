"""Budgets are read from times and numbers; prices are those of this machine."""

import math
import time

import pytest
import torch
from torch import nn

import workbench as wb
from workbench.overview.analysis import _ends
from workbench.overview.budget import (
    Prices,
    measured_prices,
    nominal_prices,
    read_budget,
    seconds_of_gradient,
)
from workbench.overview.planning import Cost, Level


@pytest.fixture(scope="module")
def problem() -> wb.Problem:
    torch.manual_seed(0)
    return wb.Problem(nn.Linear(8, 3), nn.CrossEntropyLoss(), (torch.randn(120, 8), torch.randint(3, (120,))))


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("1min", 60), (" 1.5 min ", 90), ("2h", 7200), ("10MIN", 600)]
)
def test_times(text: str, seconds: float) -> None:
    budget = read_budget(text)
    assert budget.seconds == seconds
    assert math.isnan(budget.gradients)


@pytest.mark.parametrize("value", [250, 250.0, "250", " 250 "])
def test_numbers_of_gradients(value: object) -> None:
    budget = read_budget(value)
    assert budget.gradients == 250
    assert math.isinf(budget.seconds)
    assert str(budget) == "250 gradients"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("soon", "budget='soon' cannot be read: write a time"),
        ("3 parsec", "cannot be read"),
        ("2s", "too short: give at least 10 s"),
        (0, "budget=0 is out of range"),
        ("0", "out of range"),
        (math.nan, "out of range"),
    ],
)
def test_what_cannot_be_read(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_budget(value)


def test_what_is_no_budget() -> None:
    with pytest.raises(TypeError, match="is a list: pass a number; write a time"):
        read_budget([60])


def test_nominal_prices_count_examples(problem: wb.Problem) -> None:
    prices = nominal_prices(problem, 30)
    assert (prices.forward, prices.step, prices.product) == (1 / 3, 0.25, 2.0)
    assert math.isnan(prices.seconds)


def test_a_step_costs_at_least_its_share_of_the_examples(problem: wb.Problem) -> None:
    prices = measured_prices(problem, 60)
    assert prices.step >= 0.5
    assert 0 < prices.seconds < 10
    assert prices.product >= 2


def test_the_time_of_a_gradient_is_told_from_some_examples() -> None:
    model, seen = nn.Linear(64, 10), []
    data = (torch.randn(5000, 64), torch.randint(10, (5000,)))
    whole = wb.Problem(model, nn.CrossEntropyLoss(), data)
    handle = model.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    assert seconds_of_gradient(whole) > 0
    handle.remove()
    assert set(seen) == {64}


@pytest.mark.parametrize(
    ("own", "other", "latest"),
    [
        (10.0, 30.0, 150.0),  # a quarter of the time is its share
        (1.0, 299.0, 7.0),  # twice its own and five seconds
        (400.0, 100.0, 500.0),  # the others keep theirs
    ],
)
def test_a_section_ends_in_time_for_the_others(own: float, other: float, latest: float) -> None:
    prices = Prices(forward=1 / 3, step=0.1, product=2.0, seconds=1.0)
    levels = [Level(Cost(gradients=each), {}) for each in (own, other)]
    started = time.monotonic()
    ends = _ends(started, read_budget("10min"), levels[0], levels[1:], prices)
    assert ends - started == pytest.approx(latest, abs=0.5)


def test_a_budget_of_gradients_has_no_end_in_time() -> None:
    level = Level(Cost(gradients=1), {})
    assert _ends(0.0, read_budget(100), level, [], Prices(1 / 3, 0.1, 2.0)) == math.inf
