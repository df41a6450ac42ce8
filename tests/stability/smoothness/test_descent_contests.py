"""Methods on the same problems."""

import numpy as np
import pytest

from workbench.progress import listening
from workbench.stability.smoothness import METHODS, compare_descents, log_sum_exp_problem, network_problem


def test_every_method_goes_down_every_problem_and_the_table_says_when() -> None:
    problems = [log_sum_exp_problem(5, 20), network_problem(2, examples=15)]
    found = compare_descents(problems, iterations=15)
    table = found.frame()
    assert len(table) == 2 * len(METHODS)
    for place, descents in enumerate(found.descents):
        assert len({descent.losses[0] for descent in descents}) == 1
        assert found.lowest(place) == min(descent.losses.min() for descent in descents)
        for method, descent in zip(found.methods, descents, strict=True):
            row = table[(table.problem == found.problems[place]) & (table.method == method)].iloc[0]
            solved = descent.losses <= found.goal(place)
            assert row.iterations == (solved.argmax() if solved.any() else np.inf)
            assert descent.losses[-1] < descent.losses[0]
    assert "Newton (hessian)" in found.summary()
    found.plot(problem=1, against="iterations")


def test_an_interrupt_leaves_whole_problems() -> None:
    def stop(description: str, done: int, total: int | None) -> None:
        if description.startswith("descents") and done >= 3:
            raise KeyboardInterrupt

    problems = [log_sum_exp_problem(5, 20, seed=seed) for seed in range(3)]
    with listening(stop):
        found = compare_descents(problems, ["Newton (hessian)", "L-BFGS"], iterations=5)
    assert found.interrupted
    assert len(found.descents) == 1


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="did you mean 'L-BFGS'"):
        compare_descents([log_sum_exp_problem(5, 20)], ["LBFGS"])
