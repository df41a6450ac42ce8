"""Methods run on the same problems within the same budget."""

import pytest

from workbench.particles.attacks import (
    METHODS,
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


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="did you mean 'Nelder-Mead'"):
        method_trails([planted_maximiser(3)], ("nelder-mead",))
    with pytest.raises(ValueError, match="units=0"):
        method_trails([planted_maximiser(3)], units=0)
