"""Costs that are told beforehand against those that are counted."""

from itertools import pairwise

import pytest

import workbench as wb
from workbench.progress import progress
from workbench.stability.rate_advice import ShortRuns, rate_limit, rate_limit_cost
from workbench.stability.rate_advice.makers import OPTIMIZERS
from workbench.stability.rate_advice.searches import MOST_RUNS, RateSearch


@pytest.fixture(scope="module")
def problem() -> wb.Problem:
    return wb.load_problem("digits-mlp", epochs=0, width=8)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("examples", [None, 300])
def test_the_expected_cost_is_about_what_is_paid(
    problem: wb.Problem, optimizer: str, examples: int | None
) -> None:
    cost = rate_limit_cost(problem, optimizer, steps=20, seeds=4, examples=examples)
    found = rate_limit(problem, optimizer, steps=20, seeds=4, examples=examples)
    assert 0.5 * cost.expected < found.gradients < 1.5 * cost.expected
    assert found.gradients < cost.largest


def test_a_guess_saves_the_products(problem: wb.Problem) -> None:
    costs = [rate_limit_cost(problem, examples=examples) for examples in (None, 144)]
    guessed = [rate_limit_cost(problem, examples=examples, guess=0.1) for examples in (None, 144)]
    assert costs[0].expected - guessed[0].expected == pytest.approx(20)
    assert costs[1].expected - guessed[1].expected == pytest.approx(20 * 144 / 1437)
    assert guessed[0].expected == pytest.approx(5 * 9 * (3200 / 1437 + 1 / 3))


def test_no_search_goes_farther_than_the_largest_cost(
    problem: wb.Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = ShortRuns(problem, OPTIMIZERS["sgd"], 2, 1)
    most = 0
    for lowest in range(-60, 60):
        least = 2 ** (lowest / 2) * 0.99
        monkeypatch.setattr(ShortRuns, "final_loss", lambda self, rate, seed, least=least: rate < least)
        with progress("", None) as advance:
            search = RateSearch(runs, 1.0, 0.5, 1e9, advance)
            with pytest.raises(ValueError, match="rate"):
                search.add_limit(0)
        most = max(most, len(search.trials))
    assert most == MOST_RUNS


@pytest.mark.parametrize("budget", [1.0, 20.0, 40.0, 70.0])
def test_a_budget_is_kept_but_for_the_first_seed(problem: wb.Problem, budget: float) -> None:
    arguments = {"optimizer": "adam", "guess": 0.05, "steps": 30, "seeds": 4}
    free = rate_limit(problem, **arguments)
    found = rate_limit(problem, **arguments, budget=budget)
    done = len(found.limits)
    assert found.limits.tolist() == free.limits[:done].tolist()
    assert found.interrupted == found.out_of_budget == (done < 4)
    assert found.gradients <= budget or done == 1
    assert ("OUT OF BUDGET" in found.summary()) == found.out_of_budget


def test_larger_budgets_find_more_seeds(problem: wb.Problem) -> None:
    found = [rate_limit(problem, "adam", guess=0.05, steps=10, budget=budget) for budget in (1, 10, 20, 60)]
    counts = [len(each.limits) for each in found]
    assert all(less <= more for less, more in pairwise(counts))
    assert counts[0] == 1 < counts[-1]


def test_a_budget_ends_a_search_in_which_nothing_survives(problem: wb.Problem) -> None:
    arguments = {"optimizer": "adam", "steps": 1, "threshold": 1e-9}
    with pytest.raises(
        ValueError, match=r"none of 9 learning rates within budget=0.1 ends under a loss of 1e-09"
    ):
        rate_limit(problem, **arguments, budget=0.1)
    run = rate_limit_cost(problem, "adam", steps=1, seeds=1).expected / 9
    with pytest.raises(ValueError, match="none of 20 learning rates within"):
        rate_limit(problem, **arguments, budget=20.5 * run)
