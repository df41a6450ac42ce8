"""A crossing is a swarm and a descent from one corner, counted against the known minimiser."""

import numpy as np
import pytest
import torch

import workbench as wb
from workbench.particles import canyon, consensus, gradient_descent, rosenbrock
from workbench.particles.experiments import cross

SMALL = {"particles": 30, "runs": 4, "steps": 20, "descent_steps": 10, "seed": 3}


@pytest.fixture(scope="module")
def crossing():
    return cross(canyon(), **SMALL)


def test_the_swarm_is_that_of_the_paper_from_its_corner(crossing):
    swarm = consensus(
        canyon(), 30, 2, 4, 20, kind="isotropic", alpha=100.0, sigma=1.6, start=8.0, spread=0.5, seed=3,
        keep_particles=True,
    )  # fmt: skip
    assert torch.equal(crossing.swarm.consensus, swarm.consensus)
    assert torch.equal(crossing.particles, swarm.trajectory[:, 0])
    assert crossing.swarm.trajectory is None
    assert (swarm.trajectory[0] - 8).abs().mean() < 0.6


def test_the_descent_starts_where_a_particle_does(crossing):
    paths = gradient_descent(
        canyon(), crossing.descent.points[0], rate=5e-3, noise=10.0, evaluations=30, seed=3
    )
    assert torch.equal(crossing.descent.points[0, 0], crossing.particles[0, 0])
    assert torch.equal(crossing.descent.points[-1], paths.points[-1])
    assert int(crossing.descent.evaluations[-1].max()) == 30


def test_hits_are_ends_near_the_minimiser(crossing):
    ends = crossing.swarm.consensus[-1].abs().amax(-1)
    near = crossing.replace(radius=float(ends.sort().values[1:3].mean()))
    assert near.hits[0] == 2
    row = near.frame().iloc[0]
    assert (row["hits"], row["runs"], row["evaluations"]) == (2, 4, 21 * 30)
    assert row["low"] == pytest.approx(0.0676, abs=1e-3)  # Clopper and Pearson's for 2 of 4
    assert row["high"] == pytest.approx(0.9324, abs=1e-3)


def test_the_picture_of_the_landscape_is_the_landscape(crossing):
    x, y = crossing.axes
    point = torch.tensor([x[7], y[80]])
    assert crossing.landscape[7, 80] == pytest.approx(float(canyon()(point)))


def test_it_is_drawn_told_and_saved(crossing, tmp_path):
    axis = crossing.plot()
    assert "isotropic" in axis.get_title()
    assert "of 4 runs" in crossing.summary()
    loaded = wb.load_result(crossing.save(tmp_path / "crossing"))
    assert loaded.frame().equals(crossing.frame())
    np.testing.assert_array_equal(loaded.particles, crossing.particles)


def test_one_minimiser_stands_for_both_coordinates():
    found = cross(rosenbrock(), **SMALL)
    np.testing.assert_array_equal(found.minimisers, [[1, 1]])


def test_without_a_minimiser_there_is_nothing_to_find():
    nowhere = canyon().__class__("slope", "x", lambda x: x.sum(-1), (), float("nan"), (-1.0, 1.0))
    with pytest.raises(ValueError, match="no minimiser of slope"):
        cross(nowhere, **SMALL)
