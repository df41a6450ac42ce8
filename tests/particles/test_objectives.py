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


@pytest.mark.parametrize(("runs", "particles"), [(1, 1), (2, 2), (2, 10)])
def test_a_swarm_takes_a_function_of_the_variables_of_one_point(runs, particles) -> None:
    options = {"particles": particles, "dim": 2, "runs": runs, "steps": 5}
    with pytest.warns(UserWarning, match="one point at a time"):
        one = consensus(lambda x: float((1 - x[0]) ** 2 + x[1] ** 2), **options)
    torch.testing.assert_close(
        one.particles, consensus(lambda x: (1 - x[..., 0]) ** 2 + x[..., 1] ** 2, **options).particles
    )


@pytest.mark.parametrize("bad", [3.0, lambda points: points[:2], lambda point: torch.zeros(2, 2)])
def test_what_is_no_objective_is_refused(bad) -> None:
    with pytest.raises(TypeError):
        read_objective(bad, PROBES, 10)


def test_gradients_are_those_of_each_point() -> None:
    points = torch.randn(2, 5, 3, dtype=torch.float64)
    torch.testing.assert_close(gradients(batched, points), 2 * points)


def test_a_swarm_takes_a_function_that_picks_the_coordinates_of_its_one_point() -> None:
    options = {"particles": 10, "dim": 3, "runs": 2, "steps": 5, "dtype": torch.float64}
    with pytest.warns(UserWarning, match="one point at a time"):
        one = consensus(lambda point: point[0] ** 2 + point[1] ** 2 + point[2] ** 2, **options)
    torch.testing.assert_close(one.particles, consensus(batched, **options).particles, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("particles", "runs", "dim"), [(1000, 3, 2), (1, 1, 1), (5, 2, 3)])
def test_trying_an_objective_takes_a_few_evaluations_only(particles: int, runs: int, dim: int) -> None:
    """What a run counts is what it takes, but for those."""
    calls = 0

    def counted(points: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += points[..., 0].numel()
        return points.square().sum(-1)

    found = consensus(counted, particles, dim, runs, 6, cosine=False, every=3)
    assert 0 <= calls - int(found.evaluations.sum()) - runs * found.checks <= 12


@pytest.mark.parametrize("dim", [1, 2, 3, 4, 5])
def test_a_sum_over_a_wrong_axis_is_never_taken_for_energies(dim: int) -> None:
    with pytest.raises(IndexError):
        consensus(lambda points: points.square().sum(1), 3, dim, 2, 2)


def test_an_error_of_the_objective_says_how_it_was_called() -> None:
    with pytest.raises(IndexError) as caught:
        consensus(lambda points: points[:, 0] + points[:, 1], 5, 2, 2, 2)
    assert "nor one point (2,)" in caught.value.__notes__[0]


def test_an_objective_that_changes_its_points_is_refused() -> None:
    def shifts(points: torch.Tensor) -> torch.Tensor:
        points -= 1.0
        return points.square().sum(-1)

    with pytest.raises(ValueError, match="changes the points"):
        consensus(shifts, 5, 2, 2, 2)
    with pytest.raises(ValueError, match="changes the points"):
        consensus(lambda point: float(shifts(point)), 5, 2, 2, 2)


def test_a_gradient_of_something_else_is_none() -> None:
    scale = torch.ones((), requires_grad=True)
    assert not read_objective(lambda points: scale * points.detach().sum(-1), PROBES, 10).differentiable
    found = consensus(lambda points: scale * points.detach().square().sum(-1), 5, 2, 2, 2)
    assert found.cosine.isnan().all()
    with pytest.raises(ValueError, match=r"gradient=0\.5, but <lambda> has no gradient"):
        consensus(lambda points: points.detach().sum(-1), 5, 2, 2, 2, gradient=0.5)


def test_another_shape_than_at_the_trial_is_refused() -> None:
    def sometimes(points: torch.Tensor) -> torch.Tensor:
        return points.square().sum(-1)[..., :40]

    with pytest.raises(TypeError, match=r"returns shape \(2, 40\) for points \(2, 50, 2\)"):
        consensus(sometimes, 50, 2, 2, 2)


def test_none_is_no_energy() -> None:
    with pytest.raises(TypeError, match="a NoneType for one point"):
        consensus(lambda points: None, 5, 2, 2, 2)
