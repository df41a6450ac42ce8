"""Partial sums against the series of log(1 + e^x), known in closed form, and their growth outside."""

import math
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
import torch
from torch import nn

import workbench as wb
from workbench.stability.experiments import PartialSums, partial_sums


def binary() -> wb.Problem:
    """Two classes, one example, along the difference of the biases: δ = 1.5, Δ = √2."""
    model = nn.Linear(1, 2).double()
    with torch.no_grad():
        model.weight.zero_()
        model.bias.copy_(torch.tensor([0.0, 1.5]))
    return wb.Problem(model.eval(), nn.CrossEntropyLoss(), (torch.ones(1, 1).double(), torch.tensor([0])))


UNIT = torch.tensor([0.0, 0.0, -1.0, 1.0], dtype=torch.float64) / math.sqrt(2)


def test_errors_are_those_of_the_series_by_mpmath() -> None:
    found = partial_sums(binary(), UNIT, parts=(0.5, 0.9, 1.2), order=12)
    radius = math.hypot(1.5, math.pi) / math.sqrt(2)
    assert found.radius == pytest.approx(radius, rel=1e-12)
    assert found.certified
    slope = math.sqrt(0.5)

    def log_partition(t: Any) -> Any:
        return mpmath.log(mpmath.exp(-slope * t) + mpmath.exp(1.5 + slope * t))

    with mpmath.workdps(40):
        coefficients = mpmath.taylor(log_partition, 0, 12)
        for point, part in enumerate(found.part):
            t = mpmath.mpf(float(part)) * radius
            expected = [
                abs(sum(c * t**n for n, c in enumerate(coefficients[: order + 1])) - log_partition(t))
                for order in range(13)
            ]
            assert found.error[point] == pytest.approx([float(e) for e in expected], rel=1e-6, abs=1e-12)


def test_sums_converge_inside_and_diverge_outside_at_the_rate_of_the_radius() -> None:
    found = partial_sums(binary(), UNIT, parts=(0.8, 0.9, 1.1, 1.3), order=120)
    assert found.growth() == pytest.approx(found.part, rel=0.04)
    assert found.error[0, -1] < 1e-9
    assert found.error[2, -1] > 10


def test_growth_says_nothing_of_rounding() -> None:
    assert np.isnan(partial_sums(binary(), UNIT, parts=(0.1,), order=120).growth()).all()


def test_the_example_is_the_one_that_limits_the_loss() -> None:
    problem = wb.load_problem("digits-mlp", epochs=1)
    found = partial_sums(problem, "gradient", order=20)
    radii = wb.stability.taylor_radius(problem, "gradient", "exact")
    assert found.radius == pytest.approx(radii.radius, rel=1e-9)
    assert found.example == int(radii.radii.argmin())


def test_the_sums_are_a_result(tmp_path: Path) -> None:
    found = partial_sums(binary(), UNIT, order=20)
    again = wb.load_result(found.save(tmp_path / "sums.npz"))
    assert isinstance(again, PartialSums)
    assert np.array_equal(again.error, found.error)
    assert len(found.frame()) == found.error.size
    assert len(found.plot().lines) == len(found.part)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"order": 151}, "order=151 is out of range"),
        ({"parts": (0.5, 0)}, "all positive and finite"),
        ({"parts": ()}, "pass at least one"),
        ({"direction": torch.tensor([0.0, 0.0, 1.0, 1.0]).double()}, "the series has no radius"),
    ],
)
def test_bad_arguments_are_refused(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        partial_sums(binary(), **({"direction": UNIT} | keywords))
