"""Exponents of the radius along a descent, against closed forms."""

import math

import pytest
from point_problems import cubic, quadratic

from workbench.stability.smoothness import regularised_newton, smoothness_along


def test_a_cubic_has_the_exponent_one_half() -> None:
    problem = cubic([3.0])
    run = regularised_newton(problem, iterations=25)
    found = smoothness_along(problem, run, directions=["gradient"], precision=1e-5)
    slope, half = found.exponent()
    assert slope == pytest.approx(0.5, abs=1e-3)
    assert half < 1e-3
    assert len(found.frame()) == len(found.measured) >= 4
    found.plot()


def test_a_quadratic_has_none() -> None:
    problem = quadratic([1.0, 2.0])
    found = smoothness_along(problem, regularised_newton(problem, iterations=4), points=3)
    assert math.isnan(found.exponent()[0])
