"""Exponential and cosine for the kernels: polynomials in float32, libm in float64."""

import math
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from workbench.particles.compiled.compilation import kernel

_i, _f = np.int32, np.float32
_LOG2_E, _LN2_HIGH, _LN2_LOW = _f(1 / math.log(2)), _f(0.693359375), _f(-2.12194440e-4)
_LOWEST, _HIGHEST = _f(-87.0), _f(88.0)
# Coefficients of exp(r) on |r| <= ln(2) / 2 and of cos(2 pi r) in r^2 on |r| <= 1/2; errors below 1e-7.
_EXP = tuple(_f(1 / math.factorial(k)) for k in range(8))
_COS = (_f(1.0), _f(-19.73920440673828), _f(64.93911743164062), _f(-85.45016479492188), _f(60.1678352355957),
        _f(-25.968326568603516), _f(6.529627323150635))  # fmt: skip


def exp(x: float) -> float:
    """Exponential: 0 below -87 in float32."""
    return math.exp(x)


def cos_turns(x: float) -> float:
    """Cosine of an angle in turns."""
    return math.cos(2 * math.pi * (x - round(x)))


@overload(exp)
def _exp_of_type(x: Any) -> Any:
    def narrow(x: Any) -> Any:
        return _exp32(x)

    def wide(x: Any) -> Any:
        return math.exp(x)

    return narrow if x == types.float32 else wide


@overload(cos_turns)
def _cos_of_type(x: Any) -> Any:
    def narrow(x: Any) -> Any:
        return _cos32(x)

    def wide(x: Any) -> Any:
        return math.cos(2 * math.pi * (x - np.rint(x)))

    return narrow if x == types.float32 else wide


@kernel()
def _exp32(x: np.float32) -> np.float32:
    inside = min(max(x, _LOWEST), _HIGHEST)
    n = np.rint(inside * _LOG2_E)
    r = inside - n * _LN2_HIGH - n * _LN2_LOW
    r2 = r * r
    low = (_EXP[0] + _EXP[1] * r) + (_EXP[2] + _EXP[3] * r) * r2
    high = (_EXP[4] + _EXP[5] * r) + (_EXP[6] + _EXP[7] * r) * r2
    power = _i(_i(_i(n) + _i(127)) << _i(23)).view(_f)
    return _f(0) if x < _LOWEST else (low + high * (r2 * r2)) * power


@kernel()
def _cos32(x: np.float32) -> np.float32:
    r = x - np.rint(x)
    s = r * r
    s2 = s * s
    low = (_COS[0] + _COS[1] * s) + (_COS[2] + _COS[3] * s) * s2
    high = (_COS[4] + _COS[5] * s) + _COS[6] * s2
    return low + high * (s2 * s2)
