"""Methods run on the same problems within the same budget."""

from typing import Any

import pytest

from workbench.particles.attacks import (
    METHODS,
    Trail,
    data_profile,
    method_trails,
    planted_maximiser,
    process_surrogate,
)


def test_every_method_has_every_problem_within_the_budget() -> None:
    problems = [planted_maximiser(3), process_surrogate(feasible=False, iterations=100)]
    trails = method_trails(problems, tuple(METHODS), units=30)
    assert set(trails) == set(METHODS)
    for runs in trails.values():
        for trail, problem in zip(runs, problems, strict=True):
            assert trail.problem == problem.name
            assert trail.evaluations[-1] <= 30 * (problem.dim + 1)
            assert (trail.best[1:] >= trail.best[:-1]).all()
    assert data_profile(trails).problems == tuple(problem.name for problem in problems)


def test_an_interrupt_leaves_the_problems_that_all_methods_are_through_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left = iter([False, False, False, True])

    def interrupted(*arguments: Any) -> Trail:
        if next(left):
            raise KeyboardInterrupt
        return METHODS["direct search"](*arguments)

    monkeypatch.setitem(METHODS, "Nelder-Mead", interrupted)
    problems = [planted_maximiser(2, seed=k) for k in range(5)]
    with pytest.warns(UserWarning, match="after 3 of 5 problems"):
        trails = method_trails(problems, ("direct search", "Nelder-Mead"), units=2)
    assert [len(runs) for runs in trails.values()] == [3, 3]
    left = iter([True])
    with pytest.raises(KeyboardInterrupt):
        method_trails(problems, ("direct search", "Nelder-Mead"), units=2)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="did you mean 'Nelder-Mead'"):
        method_trails([planted_maximiser(3)], ("nelder-mead",))
    with pytest.raises(ValueError, match="units=0"):
        method_trails([planted_maximiser(3)], units=0)
