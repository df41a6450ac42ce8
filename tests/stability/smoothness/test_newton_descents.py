"""The regularised Newton method: its steps, its radii, and where it ends."""

import numpy as np
import pytest
import torch
from point_problems import point_problem, quadratic

from workbench.progress import listening
from workbench.stability.smoothness import (
    log_sum_exp_problem,
    logistic_problem,
    model_matrix,
    network_problem,
    regularised_newton,
    weighted_gauss_newton,
)


def test_the_first_step_is_that_of_the_formula() -> None:
    problem = network_problem(3, examples=20)
    run = regularised_newton(problem, "ggn", iterations=1, radius=0.1, accuracy=1e-10)
    gradient = problem.gradient()
    eye = torch.eye(problem.num_parameters, dtype=torch.float64)
    shifted = model_matrix(problem, "ggn") @ eye + gradient.norm() / run.radii[1] * eye
    expected = run.points[0] - torch.linalg.solve(shifted, gradient)
    torch.testing.assert_close(run.points[1], expected, rtol=1e-7, atol=1e-9)
    assert run.radii[1] == pytest.approx(0.1)


@pytest.mark.parametrize("matrix", ["hessian", weighted_gauss_newton()])
def test_steps_on_a_smooth_maximum_stay_within_their_radius_and_find_zero(matrix: object) -> None:
    problem = log_sum_exp_problem(10, 40)
    # Nearer to 0 the loss falls by less than it is rounded.
    run = regularised_newton(problem, matrix, tol=1e-8)  # type: ignore[arg-type]
    assert run.reason == "gradient"
    assert float(run.points[-1].abs().max()) < 1e-6
    assert (run.steps[1:] <= run.radii[1:] * (1 + 1e-9)).all()


def test_every_step_lowers_the_loss_by_what_its_rule_demands() -> None:
    run = regularised_newton(logistic_problem(), iterations=15)
    fall = -np.diff(run.losses)
    demanded = run.gradient_norms[1:] ** 2 * run.radii[1:] / (8 * run.gradient_norms[:-1])
    assert (fall >= demanded).all()


def test_the_logistic_loss_falls_at_a_linear_rate_at_least() -> None:
    problem = logistic_problem(flipped=0.1)
    run = regularised_newton(problem, iterations=80, tol=1e-9)
    assert run.reason == "gradient"
    gap = run.losses[:-1] - run.losses[-1]
    gap = gap[gap > 1e-10]
    rates = gap[1:] / gap[:-1]
    assert rates.max() < 0.97  # no step of a sublinear method, whose rates tend to 1
    assert rates[-5:].mean() < rates[:5].mean() + 0.1


def test_a_saddle_is_left() -> None:
    problem = point_problem([1e-3, 1.0], lambda x: x[1] ** 2 - x[0] ** 2 + x[0] ** 4)
    run = regularised_newton(problem)
    assert run.reason == "gradient"
    assert abs(float(run.points[-1][0])) == pytest.approx(0.5**0.5, rel=1e-5)


def test_a_quadratic_is_solved_in_few_steps_and_gradient_descent_takes_more() -> None:
    newton = regularised_newton(quadratic([1.0] * 8))
    plain = regularised_newton(quadratic([1.0] * 8), "none", iterations=500)
    assert newton.reason == plain.reason == "gradient"
    assert newton.iterations < plain.iterations
    assert plain.method == "gradient descent"
    assert plain.products[-1] == 0


def test_the_problem_is_left_alone_and_the_path_is_read() -> None:
    problem = quadratic([1.0, 2.0])
    run = regularised_newton(problem, iterations=3)
    assert problem.parameters_vector().tolist() == [1.0, 2.0]
    assert len(run.frame()) == run.iterations + 1
    assert run.work_to(run.losses[-1]) == run.work[-1]
    assert run.iterations_to(-1.0) == np.inf
    run.plot()


def test_an_interrupt_leaves_the_steps_that_are_done() -> None:
    def stop(description: str, done: int, total: int | None) -> None:
        if description.startswith("regularised") and done >= 3:
            raise KeyboardInterrupt

    with listening(stop):
        run = regularised_newton(logistic_problem(), iterations=20)
    assert run.interrupted
    assert run.iterations == 3


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="radius"):
        regularised_newton(quadratic([1.0]), radius=0)
    with pytest.raises(ValueError, match="matrix"):
        regularised_newton(quadratic([1.0]), "hess")
