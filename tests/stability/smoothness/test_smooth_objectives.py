"""Problems for second-order methods."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import expit

from workbench.stability.smoothness import (
    log_sum_exp_problem,
    logistic_problem,
    model_matrix,
    network_problem,
    regularised_newton,
    softmax_problem,
    weighted_gauss_newton,
)


def test_the_smooth_maximum_has_its_minimum_at_zero() -> None:
    problem = log_sum_exp_problem(7, 30)
    assert float(problem.gradient(torch.zeros(7, dtype=torch.float64)).norm()) < 1e-12


def test_the_weighted_matrix_is_the_hessian_and_the_outer_product_of_the_gradient() -> None:
    problem = log_sum_exp_problem(7, 30)
    gradient = problem.gradient()
    hessian = model_matrix(problem, "hessian") @ torch.eye(7, dtype=torch.float64)
    expected = hessian + torch.outer(gradient, gradient)
    torch.testing.assert_close(weighted_gauss_newton()(problem), expected, rtol=1e-9, atol=1e-10)


def test_logistic_regression_has_the_minimum_that_scipy_finds() -> None:
    problem = logistic_problem(flipped=0.2)
    run = regularised_newton(problem, iterations=100, tol=1e-9)
    ((inputs, targets), _), *_ = problem.batches()
    rows = np.concatenate([inputs.numpy(), np.ones((len(inputs), 1))], axis=1)
    signs = 2 * targets.numpy() - 1

    def loss(theta: np.ndarray) -> float:
        return float(np.logaddexp(0, -signs * (rows @ theta)).mean())

    def gradient(theta: np.ndarray) -> np.ndarray:
        return -rows.T @ (signs * expit(-signs * (rows @ theta))) / len(rows)

    def hessian(theta: np.ndarray) -> np.ndarray:
        slopes = expit(rows @ theta)
        return rows.T @ ((slopes * (1 - slopes))[:, None] * rows) / len(rows)

    other = minimize(
        loss, np.zeros(rows.shape[1]), jac=gradient, hess=hessian, method="trust-exact", tol=1e-9
    )
    # Some directions are nearly flat: the gradient is small before the last of the loss is gone.
    assert run.losses[-1] == pytest.approx(other.fun, abs=1e-7)


def test_seeds_and_refusals() -> None:
    assert network_problem(4, seed=1).loss_at() != network_problem(4, seed=2).loss_at()
    assert softmax_problem(50).loss_at() == pytest.approx(np.log(10))
    with pytest.raises(ValueError, match="two different digits"):
        logistic_problem((3, 3))
    with pytest.raises(ValueError, match="flipped"):
        logistic_problem(flipped=0.5)
    with pytest.raises(ValueError, match="examples"):
        softmax_problem(5)
