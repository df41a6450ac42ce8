"""Where particles start."""

import pytest
import torch

from workbench.particles import himmelblau, normals
from workbench.particles.noise import START
from workbench.particles.optimization import consensus
from workbench.particles.starts import begin, read_runs


def start(**options) -> torch.Tensor:
    given = {"start": None, "spread": 1.0, "box": None, **options}
    return begin((0, 4), 500, 3, **given, seed=0, dtype=torch.float64, device="cpu")


def test_about_a_point_it_is_normal() -> None:
    z = normals(0, [0, 4], START, 500, 3, torch.float64)
    assert torch.equal(start(start=2.0, spread=0.5), 2.0 + 0.5 * z)
    assert torch.equal(start(start=[1.0, 2.0, 3.0]), torch.tensor([1.0, 2.0, 3.0]) + z)


def test_in_a_box_it_is_uniform() -> None:
    x = start(box=(-1.0, 3.0))
    assert x.min() >= -1
    assert x.max() <= 3
    share = x.flatten().sort().values.add(1).div(4)
    steps = torch.linspace(0, 1, len(share), dtype=torch.float64)
    assert (share - steps).abs().max() < 1.95 / len(share) ** 0.5  # Kolmogorov and Smirnov, one in a thousand


def test_a_landscape_brings_its_box() -> None:
    found = consensus(himmelblau(), 200, 2, 2, 0).particles
    assert found.abs().max() <= 5
    assert found.abs().max() > 4.5


def test_given_positions_are_taken_as_they_are() -> None:
    one, all_runs = torch.randn(500, 3).double(), torch.randn(2, 500, 3).double()
    assert torch.equal(start(start=one), one.expand(2, -1, -1))
    assert torch.equal(start(start=all_runs), all_runs)


@pytest.mark.parametrize("options", [{"start": float("nan")}, {"spread": -1.0}, {"start": [0.0, 1.0]}])
def test_what_cannot_be_is_refused(options) -> None:
    with pytest.raises(ValueError, match=r"start|spread"):
        start(**options)
    with pytest.raises(TypeError, match="not a whole number"):
        read_runs(1.5)
    with pytest.raises(ValueError, match="at least one"):
        read_runs([])
