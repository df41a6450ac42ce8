"""Exponents of the radius along a descent, against closed forms."""

import math
from pathlib import Path

import numpy as np
import pytest
from point_problems import cubic, point_problem, quadratic

from workbench.result import load_result
from workbench.stability.smoothness import compare_descents, regularised_newton, smoothness_along


def test_a_cubic_has_the_exponent_one_half() -> None:
    problem = cubic([3.0])
    run = regularised_newton(problem, iterations=25)
    found = smoothness_along(problem, run, directions=["gradient"], precision=1e-5)
    slope, half = found.exponent()
    assert slope == pytest.approx(0.5, abs=1e-3)
    assert half < 1e-3
    assert len(found.frame()) == len(found.measured) >= 4
    found.plot()


def test_results_are_saved_and_read(tmp_path: Path) -> None:
    problem = cubic([3.0])
    run = regularised_newton(problem, iterations=4)
    path = smoothness_along(problem, run, points=2, directions=["gradient"])
    contest = compare_descents([problem], ["Newton (hessian)", "L-BFGS"], iterations=3)
    for place, result in enumerate((run, path, path.measured[0], contest)):
        saved = result.save(tmp_path / str(place))
        assert load_result(saved).summary() == result.summary()
        assert load_result(saved).frame().equals(result.frame())


def test_a_minimum_that_was_reached_is_left_out() -> None:
    problem = point_problem([1.0], lambda x: (x * x).sum() / 2 + (x * x * x * x).sum())
    run = regularised_newton(problem, iterations=200, tol=1e-300)
    run = run.replace(gradient_norms=np.append(run.gradient_norms[:-1], 0.0))
    assert len(smoothness_along(problem, run, points=3).measured) == 3


def test_a_quadratic_has_none() -> None:
    problem = quadratic([1.0, 2.0])
    found = smoothness_along(problem, regularised_newton(problem, iterations=4), points=3)
    assert math.isnan(found.exponent()[0])
