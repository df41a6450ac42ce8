"""Landscapes at their minimisers, and against their formulas written out for one point."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

import workbench as wb
from workbench.curvature import random_directions, slice_loss
from workbench.particles import LANDSCAPES, consensus, landscape, loss_slice_landscape, rastrigin, rosenbrock
from workbench.particles.objectives import gradients


@pytest.mark.parametrize("name", LANDSCAPES)
def test_minimisers_are_minimisers(name: str) -> None:
    found = landscape(name)
    dim = found.dim or 6
    for minimiser in found.minimisers:
        at = torch.tensor(minimiser, dtype=torch.float64).expand(dim)
        assert found(at).item() == pytest.approx(found.minimum, abs=1e-12)
        around = at + 1e-3 * torch.randn(200, dim, dtype=torch.float64)
        assert (found(around) >= found.minimum).all()
    low, high = found.box
    anywhere = low + (high - low) * torch.rand(100_000, dim, dtype=torch.float64)
    assert (found(anywhere) > found.minimum).all()


def written_out(name: str, point: list[float]) -> float:
    """The formulas once more, in plain Python."""
    d, (x, y) = len(point), point[:2]
    match name:
        case "sphere":
            return sum(p * p for p in point)
        case "ackley":
            root = math.sqrt(sum(p * p for p in point) / d)
            ripple = sum(math.cos(2 * math.pi * p) for p in point) / d
            return -20 * math.exp(-0.2 * root) - math.exp(ripple) + 20 + math.e
        case "rastrigin":
            return sum(p * p + 2.5 * (1 - math.cos(2 * math.pi * p)) for p in point)
        case "rosenbrock":
            return sum(100 * (q - p * p) ** 2 + (1 - p) ** 2 for p, q in pairwise(point))
        case "himmelblau":
            return (x * x + y - 11) ** 2 + (x + y * y - 7) ** 2
    v, b = y - (2 / 16 * (x - 1) * (x - 4) ** 2 + 2), -x - 1.6 * y
    ripple = 1.1625 * (1 - math.cos(0.75 * math.pi * x) + 1 - math.cos(0.75 * math.pi * y))
    step = 4 * math.exp(1 - 2 * v**4) * max((1 - math.exp(-9 * b * b)) * math.copysign(1, b), 0)
    wall = 25 * (1 - math.exp(-1.4 * v * v * math.exp(-0.002 * x**4)))
    return wall + 0.4 * x * x + 0.2 * y * y + ripple + step


@pytest.mark.parametrize("name", LANDSCAPES)
def test_energies_are_those_of_the_formula_in_any_batch(name: str) -> None:
    found = landscape(name)
    points = torch.randn(3, 4, found.dim or 5, dtype=torch.float64)
    energies = found(points)
    assert energies.shape == (3, 4)
    for index in np.ndindex(3, 4):
        assert energies[index].item() == pytest.approx(written_out(name, points[index].tolist()), rel=1e-12)


def test_per_dimension_divides_by_the_dimension() -> None:
    points = torch.randn(7, 3, dtype=torch.float64)
    torch.testing.assert_close(rastrigin(10, per_dimension=True)(points), rastrigin(10)(points) / 3)


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'ackley'"):
        landscape("ackly")


def test_a_loss_slice_is_the_loss_at_the_points_of_its_grid() -> None:
    problem = wb.load_problem("digits-mlp", epochs=1)
    plane = slice_loss(problem, random_directions(problem), reach=0.5, points=5, quadratic=False)
    found = loss_slice_landscape(plane)
    energies = found(torch.from_numpy(plane.coordinates))
    np.testing.assert_allclose(energies.numpy(), plane.loss, rtol=1e-12)
    assert found(found.minimiser(2)).item() == pytest.approx(plane.loss.min(), rel=1e-12)
    beyond = torch.tensor([[0.7, 0.1], [0.5, 0.1]], dtype=torch.float64)
    assert (found(beyond[0]) - found(beyond[1])).item() == pytest.approx(0.04, rel=1e-9)
    assert gradients(found, beyond).isfinite().all()


def test_a_line_is_no_landscape() -> None:
    problem = wb.load_problem("digits-mlp", epochs=1)
    line = slice_loss(problem, random_directions(problem).vectors[:, 0], points=3, quadratic=False)
    with pytest.raises(ValueError, match="takes 2"):
        loss_slice_landscape(line)


def test_rosenbrock_has_no_valley_in_one_variable() -> None:
    with pytest.raises(ValueError, match="Rosenbrock takes at least 2 variables, not dim=1"):
        consensus(rosenbrock(), 5, 1, 2, 2)


@pytest.mark.parametrize("name", LANDSCAPES)
def test_gradients_at_minimisers_are_zero(name: str) -> None:
    found = landscape(name)
    slopes = gradients(found, found.minimiser(found.dim or 6))
    torch.testing.assert_close(slopes, torch.zeros_like(slopes), rtol=0, atol=1e-9)


def test_a_minimiser_of_other_dimensions_is_refused() -> None:
    with pytest.raises(ValueError, match="dim=3: Himmelblau is a function of 2 variables"):
        landscape("himmelblau").minimiser(3)
