"""Radii of a softmax along a line against closed forms and a root search in 60 digits."""

import itertools
import math

import mpmath
import numpy as np
import pytest
import torch
from torch import Tensor

from workbench.stability.ghosts import zeros
from workbench.stability.radii import logit_radius, minimum_radius


def cases(samples: int, classes: int, scale: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    z = scale * torch.randn(samples, classes, dtype=torch.float64, generator=generator)
    return z, torch.randn(samples, classes, dtype=torch.float64, generator=generator)


def radius(z: Tensor, a: Tensor, kind: str = "exact") -> Tensor:
    return logit_radius(z, a, kind).radius


def no_zero_within(z: Tensor, a: Tensor, distance: float) -> bool:
    """The argument principle in 60 digits: F turns around 0 no time on a circle of this radius."""
    with mpmath.workdps(60):
        weights = [mpmath.exp(mpmath.mpf(each)) for each in z.tolist()]
        slopes = [mpmath.mpf(each) for each in a.tolist()]

        def value(angle: mpmath.mpf) -> mpmath.mpc:
            t = distance * mpmath.expj(angle)
            return mpmath.fsum(w * mpmath.exp(b * t) for w, b in zip(weights, slopes, strict=True))

        points = [value(mpmath.pi * i / 300) for i in range(301)]
        turns = [mpmath.arg(q / p) for p, q in itertools.pairwise(points)]
        assert max(map(abs, turns)) < 2.5
        return round(float(mpmath.fsum(turns) / (2 * mpmath.pi))) == 0


def has_zero_at(z: Tensor, a: Tensor, distance: float) -> bool:
    """Newton's method in 60 digits, from points at this distance, finds a zero at it."""
    with mpmath.workdps(60):
        weights = [mpmath.exp(mpmath.mpf(each)) for each in z.tolist()]
        slopes = [mpmath.mpf(each) for each in a.tolist()]
        for i in range(1, 60):
            s = distance * mpmath.expj(mpmath.pi * i / 60)
            for _ in range(40):
                terms = [w * mpmath.exp(b * s) for w, b in zip(weights, slopes, strict=True)]
                step = mpmath.fsum(terms) / mpmath.fsum(
                    b * term for b, term in zip(slopes, terms, strict=True)
                )
                if abs(step) > distance:
                    break
                s -= step
                if abs(step) < mpmath.mpf(10) ** -40 * distance:
                    if abs(abs(s) - distance) < mpmath.mpf(10) ** -12 * distance:
                        return True
                    break
    return False


@pytest.mark.parametrize(("classes", "scale"), [(3, 1.0), (5, 0.0), (8, 4.0), (12, 8.0)])
def test_the_exact_radius_is_that_of_a_root_search_in_60_digits(classes: int, scale: float) -> None:
    z, a = cases(3, classes, scale, seed=classes)
    found = logit_radius(z, a, "exact")
    assert found.certified.all()
    for row in range(len(z)):
        distance = found.radius[row].item()
        assert has_zero_at(z[row], a[row], distance)
        assert no_zero_within(z[row], a[row], 0.99 * distance)


@pytest.mark.parametrize("classes", [3, 4, 5, 7, 10, 40])
def test_equal_logits_and_equally_spaced_slopes_have_a_closed_form(classes: int) -> None:
    """F = (e^{nt} - 1) / (e^t - 1) is 0 where t = 2 pi i k / n, but for whole k / n."""
    found = logit_radius(torch.zeros(1, classes), torch.arange(classes)[None], "exact")
    assert found.certified.all()
    assert found.minimum == pytest.approx(2 * math.pi / classes, rel=1e-13)


def symmetric(samples: int, classes: int, scale: float, seed: int) -> tuple[Tensor, Tensor]:
    """F(-t) = F(t): the nearest zero lies on the imaginary axis, or has a mirror image as near as it."""
    z, a = cases(samples, classes, scale, seed)
    return z + z.flip(1), a - a.flip(1)


@pytest.mark.parametrize(("classes", "scale"), [(4, 2.0), (5, 0.5), (8, 0.0)])
def test_symmetric_samples_are_certified_as_a_root_search_in_60_digits_says(
    classes: int, scale: float
) -> None:
    z, a = symmetric(2, classes, scale, seed=classes)
    found = logit_radius(z, a, "exact")
    assert found.certified.all()
    for row in range(len(z)):
        distance = found.radius[row].item()
        assert has_zero_at(z[row], a[row], distance)
        assert no_zero_within(z[row], a[row], 0.99 * distance)


@pytest.mark.parametrize("classes", [3, 4, 6, 10])
@pytest.mark.parametrize("scale", [0.0, 1.0, 5.0])
def test_symmetric_samples_are_certified(classes: int, scale: float) -> None:
    found = logit_radius(*symmetric(300, classes, scale, seed=1), "exact")
    assert found.certified.double().mean() > 0.99


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_whole_slopes_have_the_roots_of_a_polynomial(mirrored: bool, scale: float) -> None:
    """With x = e^t, F is a polynomial, and the zeros are the logarithms of its roots."""
    make = symmetric if mirrored else cases
    z, a = make(400, 6, scale, 2)
    slopes = (a * (2 if mirrored else 3)).round()
    found = logit_radius(z, slopes, "exact")
    assert found.certified.double().mean() > 0.97  # a double zero is none that can be certified
    for row in found.certified.nonzero()[:, 0]:
        powers = (slopes[row] - slopes[row].min()).long()
        coefficients = torch.zeros(int(powers.max()) + 1, dtype=torch.float64)
        coefficients.index_add_(0, powers, z[row].exp())
        roots = np.roots(coefficients.flip(0).numpy()).astype(complex)
        nearest = np.abs(np.log(roots)).min() if len(roots) else math.inf
        assert found.radius[row].item() == pytest.approx(nearest, rel=1e-8)


def test_two_classes_have_a_closed_form() -> None:
    z, a = cases(2000, 2, 5.0)
    expected = torch.hypot(z[:, 0] - z[:, 1], torch.full_like(z[:, 0], math.pi)) / (a[:, 0] - a[:, 1]).abs()
    torch.testing.assert_close(radius(z, a), expected, rtol=1e-14, atol=0)
    torch.testing.assert_close(radius(z, a, "majority"), expected, rtol=1e-12, atol=0)
    assert (radius(z, a, "majority") <= expected).all()


def test_a_confident_sample_has_a_radius_of_its_margin() -> None:
    z, a = torch.tensor([[10.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    assert radius(z, a).item() == pytest.approx(10.4819, abs=1e-4)
    assert radius(1e5 * z, a).item() == pytest.approx(1e6, rel=1e-9)


@pytest.mark.parametrize("classes", [3, 10, 40])
@pytest.mark.parametrize("scale", [0.0, 1.0, 5.0, 20.0])
def test_bounds_are_in_order_and_below_the_nearest_zero(classes: int, scale: float) -> None:
    z, a = cases(834, classes, scale)  # 10^4 cases in all
    spread, majority, exact = (logit_radius(z, a, kind) for kind in ("spread", "majority", "exact"))
    assert (spread.radius <= majority.radius).all()
    assert (majority.radius <= exact.radius * (1 + 1e-13)).all()
    assert exact.certified.double().mean() > 0.998
    torch.testing.assert_close(spread.radius, math.pi / (a.amax(1) - a.amin(1)), rtol=1e-14, atol=0)


def ghost_of_the_first_two(z: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
    """Newton's method in complex128 from the zero of the two likeliest classes, and its residual."""
    top = z.topk(2, dim=1).indices
    delta, slope = (each.gather(1, top)[:, 0] - each.gather(1, top)[:, 1] for each in (z, a))
    t = torch.complex(-delta / slope, math.pi / slope.abs())
    weights, slopes = (z - z.amax(1, keepdim=True)).exp().to(t.dtype), a.to(t.dtype)
    for _ in range(60):
        terms = weights * (t[:, None] * slopes).exp()
        step = terms.sum(1) / (terms * slopes).sum(1)
        t = t - torch.where(step.isfinite(), step, 0)
    terms = weights * (t[:, None] * slopes).exp()
    return t, terms.sum(1).abs() / terms.abs().sum(1)


@pytest.mark.parametrize("classes", [3, 10, 40])
@pytest.mark.parametrize("scale", [0.0, 1.0, 5.0, 20.0])
def test_no_zero_near_the_ghost_of_the_first_two_classes_is_nearer(classes: int, scale: float) -> None:
    z, a = cases(834, classes, scale, seed=1)  # 10^4 cases in all
    ghost, residual = ghost_of_the_first_two(z, a)
    known = residual < 1e-12
    assert known.double().mean() > 0.9
    assert (radius(z, a)[known] <= ghost.abs()[known] * (1 + 1e-9)).all()
    if scale == 20:  # confident samples have the ghost of their first two classes as the nearest
        assert torch.isclose(radius(z, a)[known], ghost.abs()[known], rtol=1e-9).double().mean() > 0.3


def overconfident() -> tuple[Tensor, Tensor]:
    """A sample whose zeros are so far out that float64 cannot count them."""
    z = torch.tensor([[900.0, 0.0, -100.0]], dtype=torch.float64)
    return z, torch.tensor([[0.0, 1.0, -0.5]], dtype=torch.float64)


def test_what_is_not_certified_falls_back_to_the_majority_bound() -> None:
    z, a = overconfident()
    exact = logit_radius(z, a, "exact")
    assert not exact.certified.any()
    assert torch.equal(exact.radius, radius(z, a, "majority"))
    assert "1 NOT certified as exact" in exact.summary()


@pytest.mark.parametrize("kind", ["spread", "majority", "exact"])
def test_radii_follow_shifts_scales_and_signs(kind: str) -> None:
    z, a = cases(200, 6, 2.0)
    expected = radius(z, a, kind)
    shift = torch.linspace(-30, 30, len(z), dtype=torch.float64)[:, None]
    for other in (radius(z + shift, a, kind), radius(z, a + shift, kind), radius(z, -a, kind)):
        torch.testing.assert_close(other, expected, rtol=1e-9, atol=0)
    torch.testing.assert_close(radius(z, 7e5 * a, kind), expected / 7e5, rtol=1e-12, atol=0)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(radius(z[:, order], a[:, order], kind), expected, rtol=1e-12, atol=0)


def test_with_a_temperature_only_the_spread_bound_scales() -> None:
    z, a = cases(200, 6, 2.0)
    torch.testing.assert_close(radius(z / 4, a / 4, "spread"), 4 * radius(z, a, "spread"))
    assert not torch.allclose(radius(z / 4, a / 4), 4 * radius(z, a), rtol=1e-2)


@pytest.mark.parametrize("kind", ["spread", "majority", "exact"])
def test_equal_slopes_have_no_zero(kind: str) -> None:
    found = logit_radius(torch.randn(4, 5), torch.ones(4, 5), kind)
    assert torch.equal(found.radius, torch.full((4,), torch.inf, dtype=torch.float64))
    assert found.certified.all()
    assert logit_radius(torch.randn(2, 1), torch.randn(2, 1), kind).minimum == math.inf


def test_classes_of_equal_slope_merge() -> None:
    z = torch.tensor([[0.3, 0.1, -1.0], [-4.0, 2.0, 1.0]], dtype=torch.float64)
    a = torch.tensor([[2.0, 2.0, -1.0], [0.5, 3.5, 3.5]], dtype=torch.float64)
    margins = torch.stack([z[0, :2].logsumexp(0) - z[0, 2], z[1, 1:].logsumexp(0) - z[1, 0]])
    expected = torch.hypot(margins, torch.full_like(margins, math.pi)) / 3
    torch.testing.assert_close(radius(z, a), expected, rtol=1e-14, atol=0)


@pytest.mark.parametrize("kind", ["spread", "majority", "exact"])
def test_a_masked_class_does_not_count(kind: str) -> None:
    z, a = cases(20, 4, 1.0)
    masked = torch.cat([z, torch.full((20, 1), -torch.inf)], dim=1)
    slopes = torch.cat([a, torch.full((20, 1), torch.nan)], dim=1)
    torch.testing.assert_close(radius(masked, slopes, kind), radius(z, a, kind), rtol=1e-13, atol=0)


def test_a_logit_of_almost_no_weight_spoils_nothing() -> None:
    z, a = cases(20, 4, 1.0)
    tiny = torch.cat([z, torch.full((20, 1), -1e9, dtype=torch.float64)], dim=1)
    slopes = torch.cat([a, a.mean(1, keepdim=True)], dim=1)
    torch.testing.assert_close(radius(tiny, slopes), radius(z, a), rtol=1e-12, atol=0)


def test_the_minimum_of_a_batch_is_exact_and_solves_few_samples() -> None:
    for scale in (1.0, 5.0):
        z, a = cases(1000, 10, scale)
        found = minimum_radius(z, a)
        assert found.radius == logit_radius(z, a, "exact").minimum
        assert found.certified
        assert found.solved < len(z) / 2


def test_an_uncertified_minimum_says_so() -> None:
    found = minimum_radius(*overconfident())
    assert not found.certified
    assert found.radius == radius(*overconfident(), "majority").item()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_is_refused(bad: float) -> None:
    z, a = cases(3, 4, 1.0)
    broken = z.clone()
    broken[1, 2] = bad
    with pytest.raises(ValueError, match=r"logits\[1, 2\] is (nan|inf)"):
        logit_radius(broken, a)
    with pytest.raises(ValueError, match=r"slopes\[1, 2\] is (nan|inf)"):
        logit_radius(z, broken)


def test_what_does_not_fit_is_refused() -> None:
    z, a = cases(3, 4, 1.0)
    with pytest.raises(ValueError, match=r"\(3, 4\) and \(3, 3\)"):
        logit_radius(z, a[:, :3])
    with pytest.raises(ValueError, match="did you mean 'exact'"):
        logit_radius(z, a, "exakt")
    with pytest.raises(TypeError, match="logits are a list"):
        logit_radius([[0.0]], a)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="sample 0 has no class"):
        logit_radius(torch.full((1, 2), -torch.inf), torch.zeros(1, 2))
    with pytest.raises(ValueError, match="slopes of sample 1 differ by more than float64 holds"):
        logit_radius(torch.zeros(2, 2), torch.tensor([[0, 1], [1e308, -1e308]], dtype=torch.float64))
    for function in (logit_radius, minimum_radius, zeros):
        with pytest.raises(ValueError, match="logits have no rows"):
            function(torch.zeros(0, 3), torch.zeros(0, 3))


def test_a_result_has_a_table_a_picture_and_a_file(tmp_path) -> None:
    from workbench.result import load_result

    found = logit_radius(*cases(30, 4, 1.0))
    assert list(found.frame().columns) == ["sample", "radius", "certified", "spread"]
    assert found.plot().get_xscale() == "log"
    again = load_result(found.save(tmp_path / "radius.npz"))
    assert torch.equal(again.radius, found.radius)
