"""Which functions are taken, and what is said of those that take one point at a time."""

import numpy as np
import pytest
import torch

from workbench.particles import consensus
from workbench.particles.objectives import gradients, read_objective

PROBES = torch.randn(4, 3, dtype=torch.float64)


def batched(points: torch.Tensor) -> torch.Tensor:
    return points.square().sum(-1)


def test_a_batched_function_is_taken_as_it_is() -> None:
    read = read_objective(batched, PROBES, 10)
    assert read.function is batched
    assert read.name == "batched"
    assert read.differentiable


def alone(point: torch.Tensor) -> torch.Tensor:
    return point[0] ** 2 + torch.dot(point, point)


def in_python(point: torch.Tensor) -> float:
    return float(np.square(point.numpy()).sum())


@pytest.mark.parametrize("function", [alone, in_python])
def test_a_function_of_one_point_is_taken_at_a_price_that_is_told(function) -> None:
    with pytest.warns(UserWarning, match=r"at a time: \S+ µs a call, \S+ s for the 1000 of this run"):
        read = read_objective(function, PROBES, 1000)
    points = torch.randn(2, 5, 3, dtype=torch.float64)
    expected = [[float(function(point)) for point in row] for row in points]
    torch.testing.assert_close(read.function(points), torch.tensor(expected, dtype=torch.float64))
    assert read.differentiable == (function is alone)


def test_a_swarm_moves_alike_on_both_forms() -> None:
    options = {"particles": 10, "dim": 3, "runs": 2, "steps": 5, "dtype": torch.float64}
    with pytest.warns(UserWarning, match="120 of this run"):
        one = consensus(lambda point: (point**2).sum(), **options)
    torch.testing.assert_close(one.particles, consensus(batched, **options).particles, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("bad", [3.0, lambda points: points[:2], lambda point: torch.zeros(2, 2)])
def test_what_is_no_objective_is_refused(bad) -> None:
    with pytest.raises(TypeError):
        read_objective(bad, PROBES, 10)


def test_gradients_are_those_of_each_point() -> None:
    points = torch.randn(2, 5, 3, dtype=torch.float64)
    torch.testing.assert_close(gradients(batched, points), 2 * points)
