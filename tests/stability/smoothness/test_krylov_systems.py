"""Shifted systems against dense solutions."""

import pytest
import torch

from workbench.stability.smoothness import KrylovSystems


def symmetric(n: int, low: float, high: float) -> torch.Tensor:
    torch.manual_seed(0)
    basis = torch.linalg.qr(torch.randn(n, n, dtype=torch.float64)).Q
    return basis @ torch.diag(torch.linspace(low, high, n, dtype=torch.float64)) @ basis.T


@pytest.mark.parametrize("shift", [0.0, 1e-3, 1.0, 1e4])
def test_solutions_are_those_of_dense_systems(shift: float) -> None:
    matrix = symmetric(20, 0.1, 9.0)
    right = torch.randn(20, dtype=torch.float64)
    found = KrylovSystems(matrix, right, tol=1e-12).solve(shift)
    expected = torch.linalg.solve(matrix + shift * torch.eye(20, dtype=torch.float64), right)
    assert found is not None
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_a_larger_shift_costs_no_product() -> None:
    matrix, right = symmetric(20, 0.1, 9.0), torch.randn(20, dtype=torch.float64)
    systems = KrylovSystems(matrix, right, tol=1e-8)
    systems.solve(0.01)
    spent = systems.products
    expected = torch.linalg.solve(matrix + 3 * torch.eye(20, dtype=torch.float64), right)
    found = systems.solve(3.0)
    assert found is not None
    assert systems.products == spent > 1
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)


def test_the_residual_is_what_was_asked_for() -> None:
    matrix, right = symmetric(60, 1e-3, 9.0), torch.randn(60, dtype=torch.float64)
    systems = KrylovSystems(matrix, right, tol=1e-2)
    found = systems.solve(0.1)
    assert found is not None
    residual = (matrix @ found + 0.1 * found - right).norm() / right.norm()
    assert 1e-4 < residual <= 1e-2
    assert systems.products < 40


def test_what_is_not_positive_definite_is_said() -> None:
    matrix, right = symmetric(10, -2.0, 5.0), torch.randn(10, dtype=torch.float64)
    systems = KrylovSystems(matrix, right, tol=1e-10)
    assert systems.solve(1.9) is None
    assert systems.smallest == pytest.approx(-2.0, abs=0.2)
    found = systems.solve(2.1)
    assert found is not None
    expected = torch.linalg.solve(matrix + 2.1 * torch.eye(10, dtype=torch.float64), right)
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-9)


def test_a_full_space_gives_its_best() -> None:
    matrix, right = symmetric(30, 1e-4, 9.0), torch.randn(30, dtype=torch.float64)
    systems = KrylovSystems(matrix, right, tol=1e-12, most=5)
    assert systems.solve(0.0) is not None
    assert systems.products == 5
