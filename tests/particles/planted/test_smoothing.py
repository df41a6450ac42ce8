"""The smoothed force against the mean over the tangent circle, which a few points give exactly."""

import math

import pytest
import torch

from workbench.particles.planted.index_models import single_index
from workbench.particles.planted.smoothing import smoothed_ascent, smoothed_force
from workbench.particles.planted.sphere import normalise, tangent, uniform_points
from workbench.particles.planted.tensors import tensor_pca


def smoothed_energy(model, theta, width):
    """By a sum over eight points of the circle, exact for the polynomials that an energy is made of."""
    first = normalise(tangent(theta, torch.tensor([1.0, 0.3, -0.2], dtype=torch.float64)))
    second = torch.linalg.cross(theta, first)
    total = 0
    for turn in range(8):
        angle = 2 * math.pi * turn / 8
        total = total + model.energy(theta + width * (math.cos(angle) * first + math.sin(angle) * second)) / 8
    return total


@pytest.mark.parametrize("width", [0.0, 0.7, 3.0])
def test_the_force_is_minus_the_gradient_of_the_mean(width):
    model = tensor_pca(3, [4, 30], 3, runs=2, dtype=torch.float64)
    theta = uniform_points(1, range(2), 2, 3, torch.float64)
    force = tangent(theta, smoothed_force(model, theta, width))
    for direction in torch.eye(3, dtype=torch.float64):
        along = normalise(tangent(theta, direction))
        h = 1e-4
        ends = [smoothed_energy(model, normalise(theta + sign * h * along), width) for sign in (1, -1)]
        slope = (ends[0] - ends[1]) / (2 * h)
        torch.testing.assert_close(-(force * along).sum(-1), slope, rtol=1e-5, atol=1e-5)


def test_wide_smoothing_leaves_the_partial_trace():
    model = tensor_pca(8, [20], 3, runs=2, dtype=torch.float64)
    theta = uniform_points(1, range(2), 1, 8, torch.float64)
    force = smoothed_force(model, theta, 1e6) / 1e12
    rest = force + 3 / 7 * model.force(theta) - 3 / 7 * model.field() * 8 * 10 / 3
    assert rest.abs().max() < 1e-9


def test_smoothing_finds_from_anywhere_what_plain_ascent_misses():
    from workbench.particles.planted.ascent import ascend

    model = tensor_pca(32, [round(32**1.6)], 3, runs=30)
    start = uniform_points(4, model.runs, 1, 32, torch.float32)
    smooth, plain = (model.overlap(f(model, start)).mean() for f in (smoothed_ascent, ascend))
    assert smooth > 0.9
    assert plain < 0.7


def test_refusals():
    start = uniform_points(1, range(1), 1, 4, torch.float32)
    with pytest.raises(TypeError, match="tensors only"):
        smoothed_ascent(single_index(4, [5], runs=1), start)
    with pytest.raises(ValueError, match="order=4"):
        smoothed_ascent(tensor_pca(4, [5], 4, runs=1), start)
    with pytest.raises(ValueError, match="width=-1"):
        smoothed_ascent(tensor_pca(4, [5], 3, runs=1), start, width=-1)
