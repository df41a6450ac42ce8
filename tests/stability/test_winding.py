"""Winding numbers on half circles."""

import math

import pytest
import torch

from workbench.stability.partition import make_partition
from workbench.stability.winding import TaylorSums, winding_numbers


def half_circle(zeros: list[complex], radius: float, points: int = 400) -> torch.Tensor:
    """A real polynomial with these zeros and their conjugates, positive on the real axis."""
    angles = torch.linspace(0, math.pi, points, dtype=torch.float64)
    s = torch.polar(torch.full_like(angles, radius), angles)
    values = torch.ones_like(s)
    for zero in zeros:
        values = values * (s - zero) * (s - zero.conjugate())
    return values


@pytest.mark.parametrize(
    ("zeros", "within"),
    [([], 0), ([1.5j], 0), ([0.5j], 1), ([0.3 + 0.2j, -0.6 + 0.4j, 2j], 2), ([0.1j, 0.2j, -0.5 + 0.1j], 3)],
)
def test_zeros_within_are_counted(zeros: list[complex], within: int) -> None:
    counts, clear = winding_numbers(half_circle(zeros, 1.0))
    assert counts == within
    assert clear


def test_a_pole_turns_the_other_way() -> None:
    counts, clear = winding_numbers(1 / half_circle([0.5j, 0.2 + 0.1j], 1.0))
    assert counts == -2
    assert clear


def test_turns_are_in_doubt_where_points_are_too_few_or_values_are_nothing() -> None:
    _, clear = winding_numbers(half_circle([0.999j], 1.0, points=6))
    assert not clear
    for value in (0.0, math.nan):
        values = half_circle([0.5j], 1.0)
        values[7] = value
        assert not winding_numbers(values)[1]


def test_counts_are_those_of_summed_angles() -> None:
    generator = torch.Generator().manual_seed(3)
    values = torch.stack(
        [
            half_circle(
                [complex(a, abs(b)) for a, b in torch.randn(4, 2, generator=generator).tolist()], 1.3, 2000
            )
            for _ in range(50)
        ]
    )
    counts, clear = winding_numbers(values)
    turned = (values[:, 1:] / values[:, :-1]).angle().sum(1) / (2 * math.pi)
    assert clear.all()
    assert torch.equal(counts.double(), turned.round())
    assert len(counts.unique()) >= 3


def test_taylor_sums_are_the_partition_function() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, slopes = torch.randn(2, 5, 7, dtype=torch.float64, generator=generator)
    partition = make_partition(logits, slopes)
    reach = torch.linspace(5, 40, 5, dtype=torch.float64)
    s = torch.polar(0.8 * reach, torch.linspace(0.1, 3, 5, dtype=torch.float64))[:, None]
    terms = (partition.log_weights[:, None] + partition.slopes[:, None] * s[..., None]).exp()
    value, derivative = TaylorSums(partition, reach).values(s)
    size = terms.abs().sum(-1)
    assert ((value - terms.sum(-1)).abs() / size).max() < 1e-11
    assert ((derivative - (terms * partition.slopes[:, None]).sum(-1)).abs() / size).max() < 1e-11
