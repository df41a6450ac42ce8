"""Norm-aware features against their formulas; finite values and derivatives at zero."""

import dataclasses

import mpmath
import pytest
import torch
from kernel_accuracy import assert_near, tolerance
from kernel_compilation import TARGETS, Compilation, check
from torch import Tensor

from workbench.kernels.norm_features import (
    FORMS,
    backward_kernel,
    forward_kernel,
    key_features,
    query_features,
)


def vectors(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def by_hand(q: list[float], form: str, *, key: bool) -> list[float]:
    """One vector's features in 30 digits."""
    with mpmath.workdps(30):
        values = [mpmath.mpf(each) for each in q]
        norm = mpmath.sqrt(mpmath.fsum(each**2 for each in values))
        directions = [each / norm for each in values]
        power = 3 if key else 3 * (mpmath.mpf(1) / 2 + mpmath.tanh(norm))
        raised = values if key else directions
        if form == "split":
            halves = [[max(sign * each, 0) ** power for each in raised] for sign in (1, -1)]
        else:
            halves = [
                [
                    abs(each) ** power * turn(mpmath.pi / 4 * d)
                    for each, d in zip(raised, directions, strict=True)
                ]
                for turn in (mpmath.cos, mpmath.sin)
            ]
        return [float(each) for half in halves for each in half]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
def test_features_are_those_of_the_formula(form: str, scale: float) -> None:
    x = scale * vectors(3, 5)
    for features, key in ((query_features, False), (key_features, True)):
        expected = [by_hand(row, form, key=key) for row in x.tolist()]
        torch.testing.assert_close(
            features(x, form), torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=0
        )


@pytest.mark.parametrize("form", FORMS)
def test_weights_are_not_negative_and_opposite_ends_do_not_meet(form: str) -> None:
    q, k = vectors(200, 4), 3 * vectors(200, 4, seed=1)
    assert (query_features(q, form) @ key_features(k, form).T).min() >= -1e-15
    end = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    assert query_features(end, form) @ key_features(-end, form).T == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("form", FORMS)
def test_only_the_power_knows_the_norm_of_a_query(form: str) -> None:
    q = vectors(4, 6)
    near, far = query_features(10 * q, form), query_features(20 * q, form)
    assert not torch.allclose(query_features(q, form), near)
    torch.testing.assert_close(near, far, atol=1e-6, rtol=0)  # the power is at its end
    torch.testing.assert_close(key_features(2 * q, form), 8 * key_features(q, form))


@pytest.mark.parametrize("features", [query_features, key_features])
@pytest.mark.parametrize("form", FORMS)
def test_derivatives_of_two_orders(features, form: str) -> None:
    x = vectors(3, 4).requires_grad_()
    assert torch.autograd.gradcheck(features, (x, form))
    assert torch.autograd.gradgradcheck(features, (x, form))


@pytest.mark.parametrize("features", [query_features, key_features])
@pytest.mark.parametrize("form", FORMS)
def test_zeros_have_zero_features_and_finite_derivatives_of_two_orders(features, form: str) -> None:
    x = vectors(3, 4)
    x[0], x[1, :2] = 0, 0
    x.requires_grad_()
    found = features(x, form)
    assert torch.equal(found[0], torch.zeros(8, dtype=torch.float64))
    (slope,) = torch.autograd.grad(found.square().sum() + found.sum(), x, create_graph=True)
    (curve,) = torch.autograd.grad(slope.square().sum() + slope.sum(), x)
    assert not slope[0].any()
    assert slope.isfinite().all()
    assert curve.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    q = vectors(20, 8).to(dtype)
    found = query_features(q)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), query_features(q.double()), atol=5e-7, rtol=0)


def test_what_is_not_allowed_is_refused() -> None:
    with pytest.raises(ValueError, match="did you mean 'cosine'"):
        query_features(vectors(2, 2), "cosin")
    with pytest.raises(TypeError, match=r"floating point numbers, not torch\.int64"):
        key_features(torch.ones(2, 2, dtype=torch.int64))


# ---- the path of this process: PyTorch's, or the kernels' in the interpreter ------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (3, 33, 16), (2, 130)], ids=str)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("features", [query_features, key_features])
def test_values_and_gradients_are_those_of_float64(features, form: str, shape, dtype: torch.dtype) -> None:
    x = vectors(*shape).to(dtype)
    x[..., 0, :] = 0
    x[..., -1, :1] = 0
    x.requires_grad_()
    exact = x.detach().double().requires_grad_()
    grad = vectors(*shape[:-1], 2 * shape[-1], seed=1)
    found, truth = features(x, form), features(exact, form)
    assert found.dtype == torch.float32
    assert_near("features", found, truth, tolerance(torch.float32))
    (slope,) = torch.autograd.grad(found, x, grad.float())
    (true_slope,) = torch.autograd.grad(truth, exact, grad)
    assert slope.dtype == dtype
    assert_near("gradient", slope, true_slope, tolerance(dtype))


WIDTHS = [(3, 512), (8, 512), (64, 96), (130, 32)]  # channels, and how many draws


def errors(found: Tensor, truth: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Largest errors over some dimensions, relative to the largest entries there."""
    return (found.double() - truth).abs().amax(dims) / truth.abs().amax(dims)


@pytest.mark.parametrize(("width", "count"), WIDTHS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("features", [query_features, key_features])
def test_every_row_of_many_draws_keeps_its_digits(features, form: str, width: int, count: int) -> None:
    """Norms from 1e-4 to 1e4, and directions that few channels make up in every third row."""
    x = 10 ** (8 * vectors(count, 1).erf().abs() - 4) * vectors(count, width, seed=1)
    x[::3] *= vectors(*x[::3].shape, seed=2).abs() ** 6
    x = x.float()
    assert errors(features(x, form), features(x.double(), form), (1,)).max() < 5e-7


@pytest.mark.parametrize(("width", "count"), WIDTHS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("features", [query_features, key_features])
def test_gradients_of_many_draws_keep_their_digits(features, form: str, width: int, count: int) -> None:
    """Eight vectors of a size are a draw: what cancels in one of them is small beside the others."""
    sizes = torch.tensor([1e-3, 0.3, 1.0, 30.0], dtype=torch.float64).view(-1, 1, 1, 1)
    x = (sizes * vectors(4, count // 32, 8, width)).float().requires_grad_()
    exact = x.detach().double().requires_grad_()
    grad = vectors(*x.shape[:-1], 2 * width, seed=1).float()
    (slope,) = torch.autograd.grad(features(x, form), x, grad)
    (true_slope,) = torch.autograd.grad(features(exact, form), exact, grad.double())
    assert errors(slope, true_slope, (2, 3)).max() < 5e-7


@pytest.mark.parametrize("others", [1.0, 0.03, 1e-4])
@pytest.mark.parametrize(("width", "count"), WIDTHS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("features", [query_features, key_features])
def test_every_single_gradient_keeps_its_digits(
    features, form: str, width: int, count: int, others: float
) -> None:
    """Norms from 1e-4 to 1e4; beside one channel the others may be small, so that most of a gradient cancels."""
    x = 10 ** (8 * vectors(count, 1).erf().abs() - 4) * vectors(count, width, seed=1)
    x[:, 1:] *= others
    x[::3] *= vectors(*x[::3].shape, seed=2).abs() ** 6
    x = x.float().requires_grad_()
    exact = x.detach().double().requires_grad_()
    grad = vectors(count, 2 * width, seed=3).float()
    (slope,) = torch.autograd.grad(features(x, form), x, grad)
    (true_slope,) = torch.autograd.grad(features(exact, form), exact, grad.double())
    normal = true_slope.abs().amax(1) > 1e-30  # what is less may be no number of float32
    assert normal.float().mean() > 0.8
    assert errors(slope[normal], true_slope[normal], (1,)).max() < 5e-7


@pytest.mark.parametrize("form", FORMS)
def test_a_channel_whose_direction_is_0_beside_a_long_one_takes_no_part(form: str) -> None:
    x = torch.tensor([[1e-42, 1e4, 1.0], [-1e-30, 1e18, 3e17]], requires_grad=True)
    exact = x.detach().double().requires_grad_()
    grad = torch.zeros(2, 6)
    grad[:, 0] = grad[:, 3] = 1.0
    (slope,) = torch.autograd.grad(query_features(x, form), x, grad)
    (true_slope,) = torch.autograd.grad(query_features(exact, form), exact, grad.double())
    assert (slope[:, 0] - true_slope[:, 0]).abs().max() < 1e-9


@pytest.mark.parametrize("form", FORMS)
def test_a_long_query_is_finite(form: str) -> None:
    x = 1e4 * torch.ones(1, 3)
    assert_near("features", query_features(x, form), query_features(x.double(), form), 5e-7)


def test_empty_vectors_have_empty_features() -> None:
    assert query_features(torch.ones(0, 4)).shape == (0, 8)
    assert query_features(torch.ones(2, 0, 4), "cosine").shape == (2, 0, 8)


def test_transforms_of_functions_pass_through() -> None:
    x = torch.ones(2, 3, 4)
    assert torch.allclose(torch.func.vmap(query_features)(x), query_features(x))


def test_a_second_derivative_goes_through_pytorch() -> None:
    x = vectors(4, 5).float().requires_grad_()
    exact = x.detach().double().requires_grad_()
    curves = []
    for given in (x, exact):
        (slope,) = torch.autograd.grad(query_features(given).square().sum(), given, create_graph=True)
        curves.append(torch.autograd.grad(slope.square().sum(), given)[0])
    assert_near("second derivative", curves[0], curves[1], 5e-6)


COMPILATIONS = [
    Compilation(
        f"{name} {'key' if key else 'query'} {'cosine' if cosine else 'split'} {kind}",
        kernel,
        {"x_ptr": f"*{kind}", **pointers, "rows": "i32", "width": "i32"},
        {"KEY": key, "COSINE": cosine, "ROWS": rows, "WIDTH": 64},
    )
    for name, kernel, rows, pointers in (
        ("forward", forward_kernel, 16, {"output_ptr": "*fp32"}),
        ("backward", backward_kernel, 8, {"grad_ptr": "*fp32", "x_grad_ptr": "*fp32"}),
    )
    for key, cosine, kind in ((False, False, "bf16"), (False, True, "fp32"), (True, True, "bf16"))
]


@pytest.mark.compiled
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("case", COMPILATIONS, ids=lambda case: case.name)
def test_compiles_within_the_gates(case, target) -> None:
    lanes = 64 if target.startswith("gfx") else 32
    warps = 128 // lanes if case.kernel is backward_kernel else 4
    check("norm_features", dataclasses.replace(case, warps=warps), target)
