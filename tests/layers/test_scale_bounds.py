"""Bounds of scales keep what they say outside the bin, agree for a Gaussian, and let gradients lead back."""

import mpmath
import pytest
import torch

from workbench.layers import scale_bounds
from workbench.layers.scale_bounds import BOUNDS, bounded, scale_bound

SHAPES = torch.tensor([0.1, 0.31, 0.5, 1.0, 1.7, 2.0, 3.9, 19.9], dtype=torch.float64)


def test_the_tail_outside_the_bin_is_that_of_the_gaussian() -> None:
    expected = float(mpmath.erfc(mpmath.mpf(1) / 2 / (mpmath.mpf("0.11") * mpmath.sqrt(2))))
    for shape, bound in zip(SHAPES.tolist(), scale_bound(SHAPES).tolist(), strict=True):
        outside = mpmath.gammainc(1 / shape, (0.5 / bound) ** shape, mpmath.inf, regularized=True)
        # A relative error e of the bound is one of about -u e of the tail, with u from 10 to 20.
        assert float(outside) == pytest.approx(expected, rel=3e-3)


def test_coarse_shapes_get_the_bound_to_one_rounding() -> None:
    shapes = torch.linspace(0.1, 19.9, 200).bfloat16()
    found, exact = scale_bound(shapes), scale_bound(shapes.double())
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.double(), exact, rtol=2**-8, atol=0)


def test_the_table_of_the_tail_is_computed_once(monkeypatch) -> None:
    inverses = []
    inverse = scale_bounds.special.gammainccinv
    monkeypatch.setattr(
        scale_bounds.special, "gammainccinv", lambda *given: inverses.append(given) or inverse(*given)
    )
    for _ in range(3):
        scale_bound(SHAPES)
    assert len(inverses) <= 1  # none if it was there already


@pytest.mark.parametrize("kind", BOUNDS[:3])
def test_bounds_agree_for_a_gaussian(kind: str) -> None:
    found = scale_bound(torch.tensor(2.0, dtype=torch.float64), kind)
    assert found.item() == pytest.approx(0.11 * 2**0.5, rel=1e-4)


@pytest.mark.parametrize("kind", ["tail", "proportional"])
def test_pointed_shapes_may_be_narrower(kind: str) -> None:
    assert scale_bound(SHAPES, kind).diff().min() > 0


def test_no_gradient_reaches_the_shape() -> None:
    assert not scale_bound(SHAPES.clone().requires_grad_()).requires_grad


def test_the_larger_counts_and_gradients_lead_back() -> None:
    x = torch.tensor([0.0, 0.0, 2.0, 2.0], requires_grad=True)
    found = bounded(x, 1.0)
    assert found.tolist() == [1, 1, 2, 2]
    (gradient,) = torch.autograd.grad(found, x, torch.tensor([3.0, -3.0, 3.0, -3.0]))
    assert gradient.tolist() == [0, -3, 3, -3]  # a positive one would lower x further


def test_what_is_not_allowed_is_refused() -> None:
    with pytest.raises(ValueError, match="did you mean 'tail'"):
        scale_bound(SHAPES, "tial")
