"""Zeros of partition functions against closed forms, the exact radius, and their definition."""

import math

import pytest
import torch

from workbench.stability.ghosts import zeros
from workbench.stability.radii import logit_radius


def random(samples: int, classes: int, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(classes)
    z = scale * torch.randn(samples, classes, dtype=torch.float64, generator=generator)
    return z, torch.randn(samples, classes, dtype=torch.float64, generator=generator)


def test_two_classes_have_zeros_at_odd_multiples_of_pi() -> None:
    z, a = torch.tensor([[1.5, 0.0]]), torch.tensor([[0.0, 2.0]])
    found = zeros(z, a, 4)
    expected = torch.tensor([[complex(0.75, math.pi * (k + 0.5)) for k in range(4)]], dtype=torch.complex128)
    torch.testing.assert_close(found.zeros, expected, rtol=1e-12, atol=0)
    assert found.certified.all()
    assert found.margin.item() == 1.5


@pytest.mark.parametrize(("classes", "scale"), [(3, 0.0), (10, 1.0), (10, 8.0), (30, 3.0)])
def test_the_nearest_is_at_the_exact_radius_and_all_are_zeros(classes: int, scale: float) -> None:
    z, a = random(6, classes, scale)
    found = zeros(z, a, 5)
    assert found.certified.all()
    exact = logit_radius(z, a, "exact")
    assert exact.certified.all()
    torch.testing.assert_close(found.zeros[:, 0].abs(), exact.radius, rtol=1e-12, atol=0)
    terms = torch.exp(z[:, None].to(torch.complex128) + found.zeros[..., None] * a[:, None])
    assert (terms.sum(-1).abs() < 1e-12 * terms.abs().sum(-1)).all()
    assert (found.zeros.abs().diff(dim=1) >= 0).all()


def test_without_a_spread_there_is_none() -> None:
    found = zeros(torch.zeros(1, 3), torch.ones(1, 3), 2)
    assert found.zeros.isnan().all()
    assert found.certified.all()
    assert found.plot().get_title().startswith("0 zeros")


def test_the_picture_has_the_disk_of_the_step() -> None:
    ax = zeros(*random(3, 4, 1.0), 2, step=0.7).plot()
    assert ax.get_legend_handles_labels()[1] == ["|t| = 0.7"]
    assert len(zeros(*random(3, 4, 1.0), 2).frame()) == 6
