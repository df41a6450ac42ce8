"""Levels are chosen most informative first, within the budget."""

import pytest

from workbench.overview.budget import Prices
from workbench.overview.planning import Cost, Level, choose_levels

PRICES = Prices(forward=0.25, step=0.5, product=2.0, vector=0.1)


def levels(*gradients: float) -> list[Level]:
    return [Level(Cost(gradients=each), {"depth": depth}) for depth, each in enumerate(gradients)]


def test_a_cost_adds_up_its_parts() -> None:
    cost = Cost(gradients=3, forwards=4, steps=6, products=5, vectors=10)
    assert cost.at(PRICES) == pytest.approx(3 + 1 + 3 + 10 + 1)


def test_each_section_gets_its_cheapest_level_before_any_gets_a_deeper_one() -> None:
    chosen, missing = choose_levels({"a": levels(1, 100), "b": levels(2, 50)}, PRICES, 60)
    assert {key: level.settings["depth"] for key, level in chosen.items()} == {"a": 0, "b": 1}
    assert not missing


def test_deeper_levels_come_round_by_round() -> None:
    chosen, _ = choose_levels({"a": levels(1, 10, 30), "b": levels(1, 10, 30)}, PRICES, 41)
    assert {key: level.settings["depth"] for key, level in chosen.items()} == {"a": 2, "b": 1}


def test_what_does_not_fit_is_named_and_leaves_room_for_others() -> None:
    chosen, missing = choose_levels({"a": levels(5), "b": levels(100), "c": levels(6)}, PRICES, 12)
    assert list(chosen) == ["a", "c"]
    assert missing == {"b": 100}


def test_a_bare_level_is_taken_only_where_the_next_does_not_fit() -> None:
    bare = Level(Cost(gradients=1), {"depth": -1}, bare=True)
    offers = {"a": levels(1, 9), "b": [bare, *levels(10, 40)]}
    for budget, depths in ((5, (0, -1)), (11, (0, 0)), (19, (1, 0)), (59, (1, 1))):
        chosen, missing = choose_levels(offers, PRICES, budget)
        assert (chosen["a"].settings["depth"], chosen["b"].settings["depth"]) == depths
        assert not missing
    assert choose_levels({"b": offers["b"]}, PRICES, 0.5)[1] == {"b": 1}


def test_a_level_is_not_skipped() -> None:
    chosen, _ = choose_levels({"a": levels(1, 100, 3)}, PRICES, 10)
    assert chosen["a"].settings["depth"] == 0


@pytest.mark.parametrize("budget", [0.5, 3, 17, 40, 1000])
def test_the_budget_is_kept(budget: float) -> None:
    offers = {"a": levels(1, 10, 30), "b": levels(2, 20), "c": levels(4)}
    chosen, _ = choose_levels(offers, PRICES, budget)
    assert sum(level.cost.at(PRICES) for level in chosen.values()) <= budget
