"""The walk and its onset against values written out."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import workbench as wb
from workbench.stability.experiments.line_walk import (
    descend,
    log_grid,
    onset,
    radii_columns,
    unit_gradient,
    walk,
)
from workbench.stability.experiments.log_means import log_mean, student_mean


def test_a_walk_is_the_loss_and_decisions_at_each_point() -> None:
    """One weight, two classes with logits 0 and wx: loss log(1 + exp(∓wx)), decisions flip at w = 0."""
    model = nn.Linear(1, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[0.0], [1.0]]))
    inputs, targets = torch.tensor([[1.0], [-2.0], [3.0]]), torch.tensor([1, 0, 0])
    problem = wb.Problem(
        model.eval(), nn.CrossEntropyLoss(), [(inputs[:2], targets[:2]), (inputs[2:], targets[2:])]
    )
    found = walk(problem, torch.tensor([0.0, -1.0]), np.array([0.5, 3.0]))

    def loss(w: float) -> float:
        return (math.log1p(math.exp(-w)) + math.log1p(math.exp(-2 * w)) + math.log1p(math.exp(3 * w))) / 3

    assert found.start_loss == pytest.approx(loss(1))
    assert found.loss_ratio == pytest.approx([loss(0.5) / loss(1), loss(-2) / loss(1)], rel=1e-5)
    assert found.start_accuracy == pytest.approx(2 / 3)
    assert found.accuracy == pytest.approx([2 / 3, 1 / 3])
    assert found.flips == pytest.approx([0, 1])


def test_a_descent_is_a_walk_against_the_vector_in_units_of_its_own_radius() -> None:
    problem = wb.load_problem("digits-mlp", epochs=1)
    unit = unit_gradient(problem)
    assert unit.norm().item() == pytest.approx(1)
    assert torch.dot(unit, problem.gradient()).item() == pytest.approx(problem.gradient().norm().item())
    found = descend(problem, unit, np.array([0.5, 2.0]))
    radius = wb.stability.taylor_radius(problem, "gradient", "spread").radius
    assert found.distances == pytest.approx([radius / 2, 2 * radius])
    there = problem.loss_at(problem.parameters_vector() - radius / 2 * unit)
    assert found.walk.loss_ratio[0] == pytest.approx(there / problem.loss_at(), rel=1e-4)
    assert radii_columns([found, found])["spread"] == pytest.approx([radius] * 2)


def test_an_onset_is_interpolated_in_the_logarithm() -> None:
    distances = np.array([1.0, 10.0, 100.0])
    assert onset(distances, np.array([0.0, 1.0, 3.0]), 2) == pytest.approx(10**1.5)
    assert onset(distances, np.array([0.0, 5.0, 0.0]), 5) == pytest.approx(10)
    assert onset(distances, np.array([0.0, np.inf, 3.0]), 2) == 10
    assert onset(distances, np.array([4.0, 5.0, 6.0]), 2) == 1
    assert onset(distances, np.array([0.0, 1.0, 1.9]), 2) == np.inf


def test_the_grid_is_even_in_the_logarithm() -> None:
    assert log_grid(5) == pytest.approx([0.01, 0.1, 1, 10, 100])
    with pytest.raises(ValueError, match="points=4 is out of range"):
        log_grid(4)


def test_means_leave_out_what_is_not_finite() -> None:
    mean = log_mean(np.array([1.0, 100.0, np.inf, np.nan]))
    assert (mean.mean, mean.used) == (pytest.approx(10), 2)
    assert mean.low * mean.high == pytest.approx(100)
    # Student's t of two values, by hand: 12.706 * |x - y| / 2
    assert math.log10(mean.high) == pytest.approx(1 + 12.7062 * 1, rel=1e-4)
    assert math.isnan(log_mean(np.array([np.inf])).mean)
    assert math.isnan(student_mean(np.array([1.0])).low)
