"""The radius in which a matrix explains the gradient, against closed forms and brute force."""

import math

import numpy as np
import pytest
import torch
from point_problems import cubic, point_problem, quadratic

from workbench.progress import listening
from workbench.stability.smoothness import (
    gradient_smoothness,
    logistic_problem,
    model_matrix,
    network_problem,
    regularised_newton,
)


@pytest.mark.parametrize("rate", [1.0, 7.0])
def test_a_cubic_has_the_root_of_twice_the_gradient_over_the_rate(rate: float) -> None:
    problem = cubic([1.5], rate)
    found = gradient_smoothness(problem, directions=["gradient"], precision=1e-6)
    assert found.gamma == pytest.approx(math.sqrt(2 * float(problem.gradient().norm()) / rate), rel=1e-5)
    assert not found.capped
    assert found.binding == "gradient"


def test_a_quadratic_ends_at_the_cap() -> None:
    found = gradient_smoothness(quadratic([1.0, -2.0, 0.5]))
    assert found.capped
    assert "no direction ended before the cap" in found.summary()


def test_brute_force_finds_the_same_radius() -> None:
    start = 0.7
    found = gradient_smoothness(
        point_problem([start], lambda x: torch.cosh(x).sum()), directions=["gradient"], precision=1e-6
    )
    distances = np.linspace(1e-3, 4, 400_000)
    ratios = [
        np.abs(np.sinh(start + side * distances) - np.sinh(start) - side * distances * np.cosh(start))
        / (np.sinh(start) * distances)
        for side in (1, -1)
    ]
    worst = np.maximum.accumulate(np.maximum(*ratios))
    assert found.gamma == pytest.approx(distances[distances * worst <= 1].max(), rel=1e-4)


def test_the_scale_of_the_loss_does_not_matter() -> None:
    def radius(scale: float) -> float:
        problem = point_problem([0.7, -0.2], lambda x: scale * torch.cosh(x).sum())
        return gradient_smoothness(problem, precision=1e-5).gamma

    assert radius(1000.0) == pytest.approx(radius(1.0), rel=1e-3)


def test_errors_of_the_matrix_add_harmonically() -> None:
    problem = network_problem(4, examples=30)
    exact = gradient_smoothness(problem, directions=["gradient", "random"], precision=1e-4)
    n = problem.num_parameters
    error = 0.05 * torch.eye(n, dtype=torch.float64)

    def wrong(at: object) -> torch.Tensor:
        return model_matrix(problem, "hessian") @ torch.eye(n, dtype=torch.float64) + error

    found = gradient_smoothness(problem, wrong, directions=["gradient", "random"], precision=1e-4)
    alone = exact.gradient_norm / 0.05
    assert found.gamma < exact.gamma
    assert 1 / found.gamma <= (1 / exact.gamma + 1 / alone) * (1 + 1e-3)


@pytest.mark.parametrize("iterations", [0, 5, 20, 35])
def test_the_logistic_loss_has_a_radius_among_steps_whatever_the_gradient(iterations: int) -> None:
    problem = logistic_problem()
    ((inputs, _), _), *_ = problem.batches()
    longest = float((inputs.square().sum(1) + 1).sqrt().max())  # the bias is an input of 1
    run = regularised_newton(problem, iterations=iterations)
    moved = problem.at(problem.model.state_dict() | problem.as_parameters(run.points[-1]))
    found = gradient_smoothness(moved, region="steps")
    assert found.gamma >= 1.256 / longest
    assert found.gamma >= gradient_smoothness(moved).gamma
    assert found.gamma < 100 / longest


def test_along_a_line_the_ellipsoid_ends_where_its_formula_says() -> None:
    problem = quadratic([1.0, -2.0, 0.5])  # with an error that is level, so that the end does not matter
    scales = torch.arange(1.0, 4.0, dtype=torch.float64)
    matrix = torch.diag(scales) + 0.1 * torch.eye(3, dtype=torch.float64)
    found = gradient_smoothness(problem, lambda _: matrix, region="steps", directions=["gradient"])
    gradient = problem.gradient()
    unit = -gradient / gradient.norm()
    end = float(gradient.norm() / (unit @ matrix @ unit))
    assert found.gamma == pytest.approx(float(gradient.norm()) / 0.1, rel=2e-3)
    assert found.frame().distance.abs().max() == pytest.approx(end)
    assert (found.frame().distance < 0).all()  # up the gradient lies no step


def test_the_ratio_stays_below_the_line_up_to_the_radius() -> None:
    found = gradient_smoothness(network_problem(4, examples=30))
    table = found.frame()
    inside = table[table.distance.abs() <= found.gamma]
    assert len(inside) > len(found.names)
    assert (inside.ratio * found.gamma <= 1 + 1e-9).all()
    just_outside = table[(table.distance.abs() > found.gamma) & (table.distance.abs() <= 1.01 * found.gamma)]
    assert (just_outside.ratio * just_outside.distance.abs() > 1).any()
    assert found.gradients == len(table) + 2  # at the point, and for the rounding
    found.plot()


def test_a_direction_that_does_not_bind_says_no_more_than_the_bound() -> None:
    found = gradient_smoothness(network_problem(4, examples=30))
    assert found.gamma == found.gammas.min()
    assert (np.diff(found.gammas) <= 0).all()


def test_an_interrupt_leaves_the_directions_that_are_done() -> None:
    def stop(description: str, done: int, total: int | None) -> None:
        if description.startswith("gradient smoothness") and done >= 2:
            raise KeyboardInterrupt

    with listening(stop):
        found = gradient_smoothness(network_problem(4, examples=30))
    assert found.interrupted
    assert len(found.names) == 2


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="the gradient is zero"):
        gradient_smoothness(quadratic([0.0, 0.0]))
    with pytest.raises(ValueError, match="did you mean 'random'"):
        gradient_smoothness(quadratic([1.0]), directions=["randon"])
    with pytest.raises(ValueError, match="region"):
        gradient_smoothness(quadratic([1.0]), region="sphere")
    with pytest.raises(ValueError, match="precision"):
        gradient_smoothness(quadratic([1.0]), precision=0)
