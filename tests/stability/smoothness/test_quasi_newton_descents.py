"""L-BFGS finds the minimum, and its path is kept."""

import numpy as np
import pytest

from workbench.stability.smoothness import log_sum_exp_problem, logistic_problem, quasi_newton


def test_it_finds_the_minimum() -> None:
    run = quasi_newton(log_sum_exp_problem(10, 40), iterations=300)
    assert run.reason == "gradient"
    assert float(run.points[-1].abs().max()) < 1e-5
    assert run.products[-1] == 0
    assert run.gradients[-1] >= run.iterations + 1


def test_the_budget_holds_and_the_path_is_true() -> None:
    problem = logistic_problem()
    run = quasi_newton(problem, iterations=7)
    assert (run.reason, run.iterations) == ("iterations", 7)
    for point, loss, norm in zip(run.points, run.losses, run.gradient_norms, strict=True):
        assert problem.loss_at(point) == pytest.approx(loss, rel=1e-12)
        assert float(problem.gradient(point).norm()) == pytest.approx(norm, rel=1e-9)
    assert (np.diff(run.losses) < 0).all()


def test_without_iterations_it_stays_where_it_is() -> None:
    run = quasi_newton(logistic_problem(), iterations=0)
    assert (run.iterations, run.gradients.tolist(), run.reason) == (0, [1], "iterations")


def test_the_start_is_computed_once() -> None:
    run = quasi_newton(log_sum_exp_problem(5, 20), iterations=1)
    assert run.gradients[0] == 1
    assert run.gradients[-1] == 2
