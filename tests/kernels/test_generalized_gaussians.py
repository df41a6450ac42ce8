"""Bits under a generalised Gaussian, and their slopes, against 30 digits."""

import dataclasses
import itertools
import math

import mpmath
import pytest
import torch
from kernel_accuracy import assert_near, tolerance
from kernel_compilation import TARGETS, Compilation, check
from torch import Tensor

from workbench.kernels import generalized_gaussian_bits, generalized_gaussians
from workbench.kernels.dispatch import interpreting
from workbench.kernels.generalized_gaussians import bits_by_pytorch, bits_kernel
from workbench.layers.scale_bounds import scale_bound

DTYPES = [torch.float32, torch.bfloat16, torch.float16]
DISTANCES = (0, 0.03125, -0.375, 0.53125, -1.3125, 4, 30.25)
SCALES = (0.125, 0.5, 2, 32)
SHAPES = (0.25, 0.625, 1, 1.5, 2, 3, 6)
# All are float32 numbers, so that the truth is that of what either dtype is given.
CASES = [
    (y, scale, shape)
    for y, scale, shape in itertools.product(DISTANCES, SCALES, SHAPES)
    if ((abs(y) - 0.5) / scale if abs(y) > 0.5 else 0) ** shape < 200
]


def bits_by_hand(y: float, scale: float, shape: float) -> mpmath.mpf:
    """One number's bits in the digits that mpmath works with, by incomplete gamma functions."""
    y, scale, shape, half = abs(mpmath.mpf(y)), mpmath.mpf(scale), mpmath.mpf(shape), mpmath.mpf(1) / 2
    near, far = (abs(y - half) / scale) ** shape, ((y + half) / scale) ** shape
    if y >= half:
        mass = mpmath.gammainc(1 / shape, near, far, regularized=True) / 2
    else:
        parts = [mpmath.gammainc(1 / shape, 0, end, regularized=True) for end in (near, far)]
        mass = (parts[0] + parts[1]) / 2
    return -mpmath.log(mass, 2)


def slopes_by_hand(y: float, scale: float, shape: float) -> list[mpmath.mpf]:
    """One number's slopes in the number and the scale, by the density at the ends, and in the shape."""
    y, scale, shape, half = mpmath.mpf(y), mpmath.mpf(scale), mpmath.mpf(shape), mpmath.mpf(1) / 2

    def density(t: mpmath.mpf) -> mpmath.mpf:
        return shape / (2 * scale * mpmath.gamma(1 / shape)) * mpmath.exp(-(abs(t / scale) ** shape))

    nats = mpmath.mpf(2) ** -bits_by_hand(y, scale, shape) * -mpmath.log(2)
    near, far = density(y - half), density(y + half)
    return [
        (far - near) / nats,
        ((y - half) * near - (y + half) * far) / (scale * nats),
        mpmath.diff(lambda x: bits_by_hand(y, scale, x), shape, h=mpmath.mpf(10) ** -14),
    ]


def truths(given: list[tuple[float, float, float]]) -> tuple[Tensor, Tensor]:
    """Bits (cases,) and their slopes (3, cases) in the number, the scale and the shape."""
    with mpmath.workdps(45):
        bits = [float(bits_by_hand(*case)) for case in given]
        slopes = [[float(slope) for slope in slopes_by_hand(*case)] for case in given]
    return torch.tensor(bits, dtype=torch.float64), torch.tensor(slopes, dtype=torch.float64).T


def error(found: Tensor, true: Tensor) -> Tensor:
    """Relative to the truth, or to 1 if that is more."""
    return (found.double() - true).abs() / true.abs().clamp(min=1)


@pytest.fixture(scope="module")
def truth() -> tuple[Tensor, Tensor]:
    return truths(CASES)


def cases(dtype: torch.dtype) -> list[Tensor]:
    y, scale, shape = torch.tensor(CASES, dtype=dtype).unbind(1)
    return [y, torch.zeros_like(y), scale, shape]


def numbers(count: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> list[Tensor]:
    """Numbers, means, scales and shapes as a codec has them."""
    random = torch.Generator().manual_seed(seed)
    mu, scale, shape = torch.rand(3, count, dtype=torch.float64, generator=random)
    mu, scale, shape = mu - 0.5, 0.5 + 4 * scale, 0.5 + 2 * shape
    y = (mu + scale * torch.randn(count, dtype=torch.float64, generator=random)).round()
    return [each.to(dtype) for each in (y, mu, scale, shape)]


def slopes_of(given: list[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
    given = [each.detach().requires_grad_() for each in given]
    bits = generalized_gaussian_bits(*given)
    return bits.detach(), torch.autograd.grad(bits.sum(), given)


@pytest.mark.parametrize(("dtype", "allowed"), [(torch.float64, 1e-13), (torch.float32, 1e-7)], ids=str)
def test_bits_are_those_of_thirty_digits(truth, dtype: torch.dtype, allowed: float) -> None:
    bits = generalized_gaussian_bits(*cases(dtype))
    assert error(bits, truth[0]).max() < allowed


@pytest.mark.parametrize(("dtype", "allowed"), [(torch.float64, 1e-12), (torch.float32, 2e-7)], ids=str)
def test_slopes_are_those_of_thirty_digits(truth, dtype: torch.dtype, allowed: float) -> None:
    _, (along, mean, scale, shape) = slopes_of(cases(dtype))
    assert torch.equal(along, -mean)
    for name, found, true in zip(["y", "alpha", "beta"], (along, scale, shape), truth[1], strict=True):
        off = error(found, true)
        assert off.max() < allowed, (name, CASES[off.argmax()], off.max())


# Shapes, and what bits and slopes may be off by in float64; 0.501 has the sharpest cusp in z.
PRECISION = [
    *((shape, 1e-12) for shape in (0.1, 0.15, 0.2, 0.3, 0.5, 1, 2, 3.999, 4, 6, 12, 19.9)),
    (0.501, 1e-10),
    (0.6, 1e-11),
]


@pytest.mark.parametrize(("shape", "fine"), PRECISION)
def test_precision_at_the_least_scales(shape: float, fine: float) -> None:
    """From the tail's bound up; bins with the mean inside, on their edge, just outside, and far away."""
    least = scale_bound(torch.tensor(float(shape), dtype=torch.float64)).item()
    chosen = [
        (y, scale, shape)
        for y in (0, 0.25, 0.4999999, 0.5, 0.5000001, 0.51, 1, 4, 30)
        for scale in (least, 4 * least, 1000 * least, 1.0)
        if scale < 300 and (max(0, y - 0.5) / scale) ** shape < 100
    ]
    for dtype, allowed in ((torch.float64, fine), (torch.float32, 5e-7)):
        y, scale, beta = torch.tensor(chosen, dtype=dtype).unbind(1)
        bits, (along, _, *others) = slopes_of([y, torch.zeros_like(y), scale, beta])
        given = zip(y.tolist(), scale.tolist(), beta.tolist(), strict=True)  # as they are in this dtype
        true_bits, true_slopes = truths(list(given))
        assert error(bits, true_bits).max() < allowed
        for name, found, true in zip(["y", "alpha", "beta"], (along, *others), true_slopes, strict=True):
            off = error(found, true)
            assert off.max() < allowed, (name, dtype, chosen[off.argmax()], off.max())


def test_both_variables_of_the_nodes_are_differentiated() -> None:
    """0.5 is the edge of the bin, where a part begins at 0; there the last shape has nothing to divide by."""
    y = torch.tensor([0.1, 0.5, 0.7, 1.4] * 3, dtype=torch.float64)
    shape = torch.tensor([0.2, 0.4, 20.0], dtype=torch.float64).repeat_interleave(4)
    given = [y, torch.zeros_like(y), torch.where(shape > 1, 1.0, 0.01), shape]
    given = [each.requires_grad_() for each in given]
    slopes = torch.autograd.grad(generalized_gaussian_bits(*given).sum(), given)
    again = torch.autograd.grad(bits_by_pytorch(*given).sum(), given, create_graph=True)
    for found, expected in zip(again, slopes, strict=True):
        torch.testing.assert_close(found.detach(), expected, rtol=1e-8, atol=1e-8)
    curves = torch.autograd.grad(again[2].sum() + again[3].sum(), given)
    assert all(curve.isfinite().all() for curve in curves)


def test_the_slope_in_the_shape_beats_every_finite_difference(truth) -> None:
    """Central differences of float32 bits, with the best of many steps."""
    y, mu, scale, shape = cases(torch.float32)
    errors = []
    for step in (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4):
        ends = [generalized_gaussian_bits(y, mu, scale, shape + sign * step) for sign in (1, -1)]
        found = (ends[0] - ends[1]) / (2 * step)
        errors.append((found.double() - truth[1][2]).abs().median().item())
    ours = (slopes_of([y, mu, scale, shape])[1][3].double() - truth[1][2]).abs().median().item()
    assert ours < min(errors) / 50


def test_a_shape_of_two_is_a_normal_distribution_and_one_is_laplace() -> None:
    y = torch.arange(-20, 21, dtype=torch.float64)
    scale, mean = torch.tensor(3.0, dtype=torch.float64), torch.tensor(0.3, dtype=torch.float64)
    normal = torch.distributions.Normal(mean, scale / math.sqrt(2))
    laplace = torch.distributions.Laplace(mean, scale)
    for shape, law in ((2.0, normal), (1.0, laplace)):
        expected = -(law.cdf(y + 0.5) - law.cdf(y - 0.5)).log2()
        found = generalized_gaussian_bits(y, mean, scale, torch.tensor(shape, dtype=torch.float64))
        near = (y - mean).abs() < 8  # farther out the difference of the truth has no digits
        torch.testing.assert_close(found[near], expected[near], rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("shape", [0.5, 1.0, 2.0, 4.0])
@pytest.mark.parametrize("scale", [0.05, 1.0, 9.0])
def test_the_probabilities_of_all_numbers_add_up_to_one(scale: float, shape: float) -> None:
    reach = min(40_000, round(scale * 36 ** (1 / shape)) + 2)
    y = torch.arange(-reach, reach + 1, dtype=torch.float64)
    given = [torch.tensor(each, dtype=torch.float64) for each in (0.2, scale, shape)]
    total = torch.exp2(-generalized_gaussian_bits(y, *given)).sum().item()
    assert total == pytest.approx(1, abs=1e-12)


def test_derivatives_of_two_orders() -> None:
    given = [each.requires_grad_() for each in numbers(6)]
    assert torch.autograd.gradcheck(generalized_gaussian_bits, given)
    assert torch.autograd.gradgradcheck(generalized_gaussian_bits, given)
    assert torch.autograd.gradcheck(bits_by_pytorch, given)


def test_derivatives_of_two_orders_at_the_mean() -> None:
    y, _, scale, shape = numbers(6)
    given = [each.requires_grad_() for each in (y, y.clone(), scale, shape)]
    assert torch.autograd.gradcheck(generalized_gaussian_bits, given)
    assert torch.autograd.gradgradcheck(generalized_gaussian_bits, given)


def test_bits_grow_and_slopes_point_home_however_far_out() -> None:
    y = torch.tensor([10.0, 1e3, 1e5, -1e5])
    rest = [torch.zeros(4), torch.full((4,), 0.1), torch.full((4,), 2.0)]
    bits, slopes = slopes_of([y, *rest])
    assert bits.isfinite().all()
    assert bits[0] < bits[1] < bits[2] == bits[3]
    assert all(slope.isfinite().all() for slope in slopes)
    assert (slopes[0] * y > 0).all()  # nearer costs less
    assert (slopes[2] < 0).all()  # so does a wider scale


def test_what_is_certain_costs_nothing() -> None:
    tiny = [torch.zeros(3), torch.zeros(3), torch.tensor([1e-3, 1e-2, 0.05]), torch.full((3,), 2.0)]
    bits, slopes = slopes_of(tiny)
    assert (bits >= 0).all()
    assert bits.max() < 1e-6
    assert all(slope.isfinite().all() for slope in slopes)


def test_a_wide_scale_loses_no_digits() -> None:
    """A difference of two distribution functions in float32 would be off by a percent."""
    given = [torch.tensor([y]) for y in (3e4, 0.0, 1e5, 1.5)]
    exact = generalized_gaussian_bits(*(each.double() for each in given))
    found = generalized_gaussian_bits(*given)
    assert torch.exp2(exact - found.double()).item() == pytest.approx(1, abs=1e-6)


# ---- the path of this process: PyTorch's, or the kernel's in the interpreter ------------------------------


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("count", [1, 7, 513, 1300])
def test_values_and_gradients_are_those_of_float64(count: int, dtype: torch.dtype) -> None:
    given = numbers(count, dtype)
    bits, slopes = slopes_of(given)
    true_bits, true_slopes = slopes_of([each.double() for each in given])
    assert bits.dtype == torch.float32
    assert_near("bits", bits, true_bits, tolerance(torch.float32))
    for name, found, true in zip(["y", "mu", "alpha", "beta"], slopes, true_slopes, strict=True):
        assert found.dtype == dtype
        assert_near(name, found, true, tolerance(dtype))


def test_shapes_broadcast_and_gradients_are_summed() -> None:
    y, mu, scale, shape = numbers(12)
    y, scale = y.view(3, 4), scale[:3, None].requires_grad_()
    wide = [each.expand(3, 4) for each in (y, mu[0], scale, shape[:4])]
    bits = generalized_gaussian_bits(y, mu[0], scale, shape[:4])
    assert torch.equal(bits, generalized_gaussian_bits(*(each.reshape(-1) for each in wide)).view(3, 4))
    (gradient,) = torch.autograd.grad(bits.sum(), scale)
    assert gradient.shape == (3, 1)


def test_empty_tensors_have_empty_bits() -> None:
    y = torch.ones(0, 3, requires_grad=True)
    bits = generalized_gaussian_bits(y, *(torch.ones(3) for _ in range(3)))
    assert bits.shape == (0, 3)
    bits.sum().backward()
    assert y.grad.shape == (0, 3)


def test_transforms_of_functions_pass_through() -> None:
    given = [each.view(2, 3) for each in numbers(6)]
    expected = generalized_gaussian_bits(*given)
    torch.testing.assert_close(torch.func.vmap(generalized_gaussian_bits)(*given), expected)


def test_torch_knows_the_operation() -> None:
    given = [each.requires_grad_() for each in numbers(5, torch.float32)]
    for slopes in (True, False):
        torch.library.opcheck(
            generalized_gaussians._bits, (*given, slopes), test_utils=("test_schema", "test_faketensor")
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_the_kernel_is_launched_where_it_should_be(monkeypatch, dtype: torch.dtype) -> None:
    launched = []
    launch = generalized_gaussians._launch
    monkeypatch.setattr(
        generalized_gaussians, "_launch", lambda *given: launched.append(given) or launch(*given)
    )
    generalized_gaussian_bits(*numbers(3, dtype))
    assert len(launched) == (interpreting() and dtype == torch.float32)


def test_what_does_not_fit_is_refused() -> None:
    one = torch.ones(3)
    with pytest.raises(TypeError, match=r"alpha has torch\.int64: it must have floating point numbers"):
        generalized_gaussian_bits(one, one, torch.ones(3, dtype=torch.int64), one)
    with pytest.raises(ValueError, match=r"shapes do not broadcast: y \(3,\), mu \(3,\), alpha \(2,\)"):
        generalized_gaussian_bits(one, one, torch.ones(2), one)


COMPILATIONS = [
    Compilation(
        f"{'slopes' if slopes else 'bits'} {kind}",
        bits_kernel,
        {**{f"{name}_ptr": f"*{kind}" for name in ("y", "mu", "alpha", "beta")},
         "rule_ptr": "*fp64", "output_ptr": "*fp32", "numbers": "i32"},
        {"SLOPES": slopes, "NODES": 28, "BLOCK": 1024},
    )
    for slopes in (True, False)
    for kind in ("bf16", "fp32")
]  # fmt: skip


@pytest.mark.compiled
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("case", COMPILATIONS, ids=lambda case: case.name)
def test_compiles_within_the_gates(case: Compilation, target: str) -> None:
    lanes = 64 if target.startswith("gfx") else 32
    check("generalized_gaussians", dataclasses.replace(case, warps=256 // lanes), target)
