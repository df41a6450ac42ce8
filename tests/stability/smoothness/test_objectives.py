"""Problems for second-order methods."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

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


def test_logistic_regression_has_the_minimum_that_another_library_finds() -> None:
    problem = logistic_problem(flipped=0.2)
    run = regularised_newton(problem, iterations=100, tol=1e-9)
    (((inputs, targets), _),) = problem.batches()
    other = LogisticRegression(C=np.inf, tol=1e-10, max_iter=20_000).fit(inputs, targets)
    probabilities = other.predict_proba(inputs)[:, 1]
    loss = -np.mean(np.log(np.where(targets == 1, probabilities, 1 - probabilities)))
    assert run.losses[-1] == pytest.approx(loss, abs=1e-6)


def test_seeds_and_refusals() -> None:
    assert network_problem(4, seed=1).loss_at() != network_problem(4, seed=2).loss_at()
    assert softmax_problem(50).loss_at() == pytest.approx(np.log(10))
    with pytest.raises(ValueError, match="two different digits"):
        logistic_problem((3, 3))
    with pytest.raises(ValueError, match="flipped"):
        logistic_problem(flipped=0.5)
    with pytest.raises(ValueError, match="examples"):
        softmax_problem(5)
