"""What counts as a success behind either barrier, and which incumbents remain."""

import math

import pytest
import torch

from workbench.particles.attacks.barriers import first_barrier
from workbench.particles.attacks.surrogates import Evaluation

START = torch.zeros(1)
POINTS = torch.arange(1.0, 6.0)[:, None]


def evaluation(*pairs):
    goal, violation = zip(*pairs, strict=True)
    return Evaluation(torch.tensor(goal), torch.tensor(violation))


def begin(goal, violation, kind="progressive"):
    return first_barrier(START, evaluation((goal, violation)), kind)


def test_a_feasible_incumbent_is_beaten_by_feasible_points_with_the_increase() -> None:
    found = evaluation((1.05, 0.0), (1.2, 0.0), (9.0, 0.1), (-math.inf, 0.0), (0.9, 0.0))
    for kind in ("extreme", "progressive"):
        assert begin(1.0, 0.0, kind).successes(found, 0.1).tolist() == [False, True, False, False, False]


def test_without_one_less_violation_counts_and_any_feasible_point() -> None:
    found = evaluation((-5.0, 0.0), (0.0, 0.5), (0.0, 0.95), (9.0, 1.0), (-math.inf, 0.0))
    assert begin(1.0, 1.0).successes(found, 0.1).tolist() == [True, True, False, False, False]


def test_an_infeasible_point_stays_while_it_promises_more() -> None:
    barrier = begin(1.0, 1.0).accept(POINTS, evaluation((0.5, 0.0)), 0)
    assert barrier.centre is barrier.feasible
    assert [each.goal for each in barrier.centres] == [0.5, 1.0]
    better = barrier.accept(POINTS, evaluation((1.5, 0.0)), 0)
    assert [each.goal for each in better.centres] == [1.5]


def test_the_limit_falls_with_each_promising_infeasible_point() -> None:
    barrier = begin(1.0, 0.0)
    assert barrier.limit == math.inf
    found = evaluation((3.0, 4.0), (2.0, 1.0), (0.5, 0.01))
    first = barrier.improve(POINTS, found, 0.1)
    assert (first.infeasible.goal, first.limit) == (3.0, 4.0)
    second = first.improve(POINTS, found, 0.1)
    assert (second.infeasible.goal, second.limit) == (2.0, 1.0)
    assert second.improve(POINTS, found, 0.1) is None  # the rest promises less
    assert second.feasible is barrier.feasible


def test_an_extreme_barrier_keeps_no_infeasible_point() -> None:
    assert begin(1.0, 0.0, "extreme").improve(POINTS, evaluation((9.0, 1e-9)), 0.0) is None


def test_starts_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="by 2"):
        begin(0.0, 2.0, "extreme")
    for goal, violation in ((-math.inf, 0.0), (0.0, math.inf)):
        with pytest.raises(ValueError, match="not finite at the start"):
            begin(goal, violation)
