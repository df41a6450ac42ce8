"""Matrices against their dense definitions."""

import pytest
import torch

import workbench as wb
from workbench.progress import listening
from workbench.stability.smoothness import model_matrix, network_problem, softmax_problem
from workbench.stability.smoothness.model_matrices import spent_on


def products(problem: wb.Problem, matrix: str, **options: int) -> torch.Tensor:
    op = model_matrix(problem, matrix, **options)
    return op @ torch.eye(problem.num_parameters, dtype=torch.float64)


def test_a_linear_model_has_the_hessian_for_its_ggn() -> None:
    problem = softmax_problem(20)
    torch.testing.assert_close(products(problem, "ggn"), products(problem, "hessian"), rtol=1e-10, atol=1e-12)


def test_the_fisher_is_the_mean_of_outer_products() -> None:
    problem = network_problem(3, examples=12)
    (((inputs, targets), _),) = problem.batches()
    total = torch.zeros(problem.num_parameters, problem.num_parameters, dtype=torch.float64)
    for one, target in zip(inputs.split(1), targets.split(1), strict=True):
        gradient = problem.with_data([(one, target)]).gradient()
        total += torch.outer(gradient, gradient) / 12
    torch.testing.assert_close(products(problem, "fisher"), total, rtol=1e-10, atol=1e-12)


def test_low_rank_keeps_the_largest_eigenvalues_by_their_absolute_values() -> None:
    problem = network_problem(3, examples=12)
    values, vectors = torch.linalg.eigh(products(problem, "hessian"))
    kept = values.abs().argsort(descending=True)[:4]
    expected = vectors[:, kept] @ torch.diag(values[kept].abs()) @ vectors[:, kept].T
    found = products(problem, "low rank", rank=4)
    assert (found - expected).norm() / expected.norm() < 1e-3
    op = model_matrix(problem, "low rank", 4)
    assert spent_on(op, 1000) == spent_on(op) == op.spent >= 4


def test_none_is_zero_and_others_are_given_or_refused() -> None:
    problem = softmax_problem(20)
    assert not products(problem, "none").any()
    unit = torch.eye(3)
    assert model_matrix(problem, lambda _: unit) is unit
    with pytest.raises(ValueError, match="did you mean 'hessian'"):
        model_matrix(problem, "hesian")


def test_an_interrupt_of_the_search_for_eigenpairs_is_one() -> None:
    def stop(description: str, done: int, total: int | None) -> None:
        if done >= 3:
            raise KeyboardInterrupt

    problem = network_problem(4, examples=20)
    with pytest.raises(KeyboardInterrupt), listening(stop):
        model_matrix(problem, "low rank", 4)
