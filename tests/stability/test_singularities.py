"""Distances of singularities of layers: the Taylor series itself, in many digits, has that radius."""

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from workbench.stability.singularities import SINGULARITIES

_FUNCTIONS: dict[str, tuple[Any, Callable[[Any], Any], dict[str, Any]]] = {
    "sigmoid": (torch.sigmoid, lambda s: 1 / (1 + mpmath.exp(-s)), {}),
    "tanh": (torch.tanh, mpmath.tanh, {}),
    "silu": (F.silu, lambda s: s / (1 + mpmath.exp(-s)), {}),
    "softplus": (F.softplus, lambda s: mpmath.log(1 + mpmath.exp(2 * s)) / 2, {"beta": 2.0}),
    "gelu": (
        F.gelu,
        lambda s: s / 2 * (1 + mpmath.tanh(mpmath.sqrt(2 / mpmath.pi) * (s + mpmath.mpf("0.044715") * s**3))),
        {"approximate": "tanh"},
    ),
}


def distance(function: Any, h: float, change: float, **options: Any) -> float:
    values = (torch.tensor([value], dtype=torch.float64) for value in (h, change))
    return float(SINGULARITIES[function][1](*values, **options))


def growth(function: Callable[[Any], Any], h: float, radius: float) -> float:
    """By what factor an order the Taylor coefficients at h grow, times radius^n: 1 if it is the radius."""
    count = 256
    with mpmath.workdps(60):
        inner = mpmath.mpf("0.9") * radius  # a circle for Cauchy's formula, with no singularity within
        points = [inner * mpmath.expj(2 * mpmath.pi * j / count) for j in range(count)]
        values = [function(h + point) for point in points]

        def scaled(n: int) -> Any:
            terms = (v * mpmath.expj(-2 * mpmath.pi * j * n / count) for j, v in enumerate(values))
            return abs(mpmath.fsum(terms)) / count * (radius / inner) ** n

        # Coefficients oscillate: the largest of some is taken.
        early, late = (max(scaled(n) for n in range(start, start + 8)) for start in (44, 88))
        return float((late / early) ** (mpmath.mpf(1) / 44))


@pytest.mark.parametrize("name", sorted(_FUNCTIONS))
@pytest.mark.parametrize("h", [0.3, -2.0])
def test_the_distance_is_the_radius_of_the_taylor_series(name: str, h: float) -> None:
    function, formula, options = _FUNCTIONS[name]
    found = distance(function, h, 1.0, **options)
    assert growth(formula, h, found) == pytest.approx(1, abs=0.03)
    assert distance(function, h, -4.0, **options) == pytest.approx(found / 4, rel=1e-12)


def test_poles_of_the_tanh_form_of_gelu_are_poles() -> None:
    for h in (0.0, 1.0, 5.0, 12.0):
        found = distance(F.gelu, h, 1.0, approximate="tanh")
        angles = np.exp(1j * np.linspace(0, np.pi, 20001))

        def inverse(s: np.ndarray) -> np.ndarray:
            return np.abs(np.cosh(np.sqrt(2 / np.pi) * (s + 0.044715 * s**3)))

        # 1 / tanh' vanishes at a pole: on the circle through it, and nowhere within.
        assert inverse(h + found * angles).min() < 0.05
        inside = h + found * np.linspace(0, 0.97, 60)[:, None] * angles[::20]
        assert inverse(inside).min() > 0.01


@pytest.mark.parametrize("size", [5, (2, 3)])
def test_zeros_of_the_variance_are_zeros(size: Any) -> None:
    shape = (size,) if isinstance(size, int) else size
    torch.manual_seed(0)
    h, change = torch.randn(4, *shape, dtype=torch.float64), torch.randn(4, *shape, dtype=torch.float64)
    dims = tuple(range(1, h.dim()))
    for function, centred in ((F.layer_norm, True), (F.rms_norm, False)):
        found = SINGULARITIES[function][1](h, change, shape, eps=0.1)
        x, y = (v - v.mean(dims, keepdim=True) if centred else v for v in (h, change))
        for row in range(4):
            quadratic = [y[row].square().mean(), 2 * (x[row] * y[row]).mean(), x[row].square().mean() + 0.1]
            roots = np.abs(np.roots([float(each) for each in quadratic]))
            np.testing.assert_allclose(roots, float(found[row]), rtol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_rms_norm_without_an_eps_has_the_one_of_torch(dtype: torch.dtype) -> None:
    """From inputs so small that eps is seen in torch's outputs."""
    x = torch.full((1, 4), 1e-3 if dtype != torch.float64 else 1e-8, dtype=dtype)
    used = ((x.double() / F.rms_norm(x, (4,)).double()) ** 2 - x.double() ** 2)[0, 0].item()
    found = SINGULARITIES[F.rms_norm][1](0 * x.double(), torch.ones(1, 4).double(), (4,), dtype=dtype)
    assert found.item() ** 2 == pytest.approx(used, rel=0.02)


def test_kinks_and_the_entire_gelu() -> None:
    assert distance(F.relu, -3.0, 2.0) == 1.5
    assert distance(F.leaky_relu, 3.0, 2.0) == 1.5
    assert distance(F.gelu, 1.0, 1.0) == float("inf")
