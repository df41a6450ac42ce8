"""Taylor series of log partition functions: inside and outside of the radius, root test, Kullback-Leibler."""

import math

import pytest
import torch
from torch import Tensor

from workbench.stability.radii import logit_radius
from workbench.stability.taylor_series import series


def cases(samples: int, classes: int = 10, scale: float = 2.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    z = scale * torch.randn(samples, classes, dtype=torch.float64, generator=generator)
    return z, torch.randn(samples, classes, dtype=torch.float64, generator=generator)


def errors(z: Tensor, a: Tensor, part: float) -> Tensor:
    """Errors of the partial sums (samples, orders) at a part of the exact radius."""
    radius = logit_radius(z, a, "exact").radius
    rows = []
    for i in range(len(z)):
        found = series(z[i : i + 1], a[i : i + 1], 159)
        t = part * radius[i : i + 1]
        rows.append((found.partial_sums(t) - found.values(t)[..., None]).abs()[0, 0])
    return torch.stack(rows)


def test_partial_sums_converge_inside_the_radius_and_not_outside() -> None:
    z, a = cases(8)
    inside, outside = errors(z, a, 0.9), errors(z, a, 1.1)
    assert (inside[:, -1] < 1e-7).all()
    assert (errors(z, a, 0.97)[:, -1] < 1e-2).all()
    just_outside = errors(z, a, 1.03)
    assert (just_outside[:, -8:].amax(1) > 1e-2).all()
    assert (just_outside[:, -8:].amax(1) > just_outside[:, 30:38].amax(1)).all()
    assert (outside[:, -8:].amax(1) > 10).all()
    assert (outside[:, -8:].amax(1) > 100 * outside[:, 30:38].amax(1)).all()


def test_the_root_test_tends_to_the_exact_radius() -> None:
    z, a = cases(6)
    exact = logit_radius(z, a, "exact").radius
    estimates = series(z, a, 150).root_test()
    near, far = (estimates[:, n - 8 : n].amin(1) / exact for n in (40, 150))
    assert ((far > 1) & (far < near)).all()
    assert (far < 1.05).all()


def test_the_first_coefficients_are_mean_and_half_the_variance() -> None:
    z, a = cases(5)
    p = z.softmax(1)
    mean = (p * a).sum(1)
    variance = (p * (a - mean[:, None]).square()).sum(1)
    found = series(z, a, 2).coefficients
    torch.testing.assert_close(found, torch.stack([z.logsumexp(1), mean, variance / 2], dim=1))


@pytest.mark.parametrize("part", [0.03, 0.3, 1.0, 3.0, -1.0])
def test_the_remainder_is_a_divergence_of_bounded_distance_from_its_quadratic_part(part: float) -> None:
    z, a = cases(10_000, classes=4)
    spread = a.amax(1) - a.amin(1)
    t = part / spread
    found = series(z, a, 2)
    coefficients = found.coefficients
    value = (z + t[:, None] * a).logsumexp(1)
    remainder = value - coefficients[:, 0] - t * coefficients[:, 1]
    p, moved = z.softmax(1), (z + t[:, None] * a).softmax(1)
    divergence = (p * (p / moved).log()).sum(1)
    torch.testing.assert_close(remainder, divergence, rtol=1e-6, atol=1e-13)
    bound = t.abs() ** 3 * spread**3 / (36 * math.sqrt(3))
    assert ((divergence - t**2 * coefficients[:, 2]).abs() <= bound).all()


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("distance", [1e-3, 1e-2])
def test_the_bound_of_the_remainder_is_nearly_reached(sign: int, distance: float) -> None:
    p = (3 + sign * math.sqrt(3)) / 6
    z = torch.tensor([[math.log(p), math.log(1 - p)]], dtype=torch.float64)
    a = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    t = torch.tensor([distance], dtype=torch.float64)
    found = series(z, a, 2)
    rest = (found.values(t) - found.partial_sums(t)[..., -1]).abs().item()
    assert rest == pytest.approx(distance**3 / (36 * math.sqrt(3)), rel=0.02)


def test_equal_slopes_leave_a_straight_line() -> None:
    found = series(torch.randn(2, 3), torch.full((2, 3), 2.0), 4)
    torch.testing.assert_close(
        found.coefficients[:, 1:], torch.tensor([[2.0, 0, 0, 0]] * 2, dtype=torch.float64)
    )


def test_an_order_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="order=0"):
        series(torch.zeros(1, 2), torch.ones(1, 2), 0)
