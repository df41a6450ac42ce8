"""The cubic step against a search of all of the space, and the method's end."""

import numpy as np
import pytest
import torch
from point_problems import point_problem
from scipy.optimize import minimize

from workbench.stability.smoothness import KrylovSystems, cubic_newton, log_sum_exp_problem
from workbench.stability.smoothness.cubic_descents import cubic_step


@pytest.mark.parametrize("low", [0.5, -1.0])
@pytest.mark.parametrize("constant", [0.1, 4.0])
def test_the_step_minimises_the_cubic_model(low: float, constant: float) -> None:
    torch.manual_seed(0)
    basis = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64)).Q
    matrix = basis @ torch.diag(torch.linspace(low, 3, 4, dtype=torch.float64)) @ basis.T
    gradient = torch.randn(4, dtype=torch.float64)
    step = cubic_step(KrylovSystems(matrix, gradient, tol=1e-12), constant)[0].numpy()

    def model(s: np.ndarray) -> float:
        return float(
            gradient.numpy() @ s + s @ matrix.numpy() @ s / 2 + constant / 6 * np.linalg.norm(s) ** 3
        )

    starts = np.random.default_rng(0).normal(size=(20, 4)) * 5
    best = min(minimize(model, start, method="BFGS", options={"gtol": 1e-10}).fun for start in starts)
    assert model(step) == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize("part", [1e-2, 1e-4, 1e-6])
@pytest.mark.parametrize("seed", range(8))
def test_a_space_that_widens_late_finds_its_negative_eigenvalue(part: float, seed: int) -> None:
    torch.manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(40, 40, dtype=torch.float64)).Q
    values = torch.linspace(0.1, 3, 40, dtype=torch.float64)
    values[0] = -0.5
    gradient = basis[:, 1:] @ torch.randn(39, dtype=torch.float64) + part * basis[:, 0]
    matrix = basis @ torch.diag(values) @ basis.T
    step, shift = cubic_step(KrylovSystems(matrix, gradient, tol=1e-3), 0.5)
    assert float(step.norm()) == pytest.approx(2 * shift / 0.5, rel=1e-6)
    residual = matrix @ step + shift * step + gradient
    assert float(residual.norm()) <= 1e-3 * float(gradient.norm())


def test_it_finds_the_minimum_and_never_goes_up() -> None:
    run = cubic_newton(log_sum_exp_problem(10, 40), tol=1e-10)
    assert run.reason == "gradient"
    assert float(run.points[-1].abs().max()) < 1e-6
    assert (np.diff(run.losses) <= 0).all()


def test_a_saddle_is_left() -> None:
    run = cubic_newton(point_problem([1e-3, 1.0], lambda x: x[1] ** 2 - x[0] ** 2 + x[0] ** 4))
    assert abs(float(run.points[-1][0])) == pytest.approx(0.5**0.5, rel=1e-5)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="constant"):
        cubic_newton(log_sum_exp_problem(3, 5), constant=-1)
