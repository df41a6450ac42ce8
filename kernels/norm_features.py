r"""Norm-aware features of queries, and the features of keys that go with them.

With :math:`n = \|q\|`, the direction :math:`d = q / n` (0 where q is) and the power
:math:`p = 3\,(1/2 + \tanh n)`, between 1.5 and 4.5:

============  ==============================================================  ====================================
form          query                                                           key
============  ==============================================================  ====================================
``"split"``   :math:`[\,\max(d, 0)^p ;\ \max(-d, 0)^p\,]`                     :math:`[\,\max(k, 0)^3 ;\ \max(-k, 0)^3\,]`
``"cosine"``  :math:`|d|^p\,[\,\cos(\pi d / 4) ;\ \sin(\pi d / 4)\,]`         :math:`|k|^3\,[\,\cos(\pi d_k / 4) ;\ \sin(\pi d_k / 4)\,]`
============  ==============================================================  ====================================

In both forms the weight :math:`\langle \varphi(q), \psi(k) \rangle` is not negative, and a coordinate in which
query and key point to opposite ends adds nothing. In the second it is
:math:`\sum_i |d_i|^p |k_i|^3 \cos(\pi (d_i - d_{k,i}) / 4)`, whose angles stay within a right one.

Source: Meng et al., "Norm × Direction" (NaLaFormer), arXiv:2506.21137. The split, the power and the cube are
those of the code released with it. That speaks of a cosine, too, but does not have one: the second form, with
its quarter of a half turn, is ours.

A power of up to 4.5 multiplies what a direction is off by, and a logarithm loses digits to its size. What has
directions is therefore computed in float64 by PyTorch, and rounded once. So is the gradient by the kernels: a
single vector's may be what is left of terms that cancel, where one channel makes up its direction, and any
rounding of theirs is then large beside it. Nothing cancels in features: the kernels have norms, powers and
directions of those in float64, but raise in float32, by products, with a logarithm for what is left of the power.
"""  # noqa: E501

import math
from typing import Any

import torch
from torch import Tensor

from workbench.choices import check_choice
from workbench.kernels.dispatch import takes_triton
from workbench.kernels.jit import blocks, kernel, tl
from workbench.kernels.replay import replayed_gradients

FORMS = ("split", "cosine")
_QUARTER = math.pi / 4
_TILE = 1024  # entries that a program holds at a time, or one row of more
_WIDE_TILE = 512  # the same of those in float64 ...
_WIDE_LANE = 4  # ... and how many a lane holds: more do not fit into its registers
_WIDEST = 4096  # channels of a row that the kernels take
_WARPS = 4


def query_features(queries: Tensor, form: str = "split") -> Tensor:
    """Features (…, 2 d) of queries (…, d), from their directions, raised to a power that their norms set.

    Parameters
    ----------
    queries : Tensor (…, d)
        Of floating point numbers. Zero queries have zero features, and a gradient of zero.
    form : {"split", "cosine"}
        See the module.

    Returns
    -------
    Tensor (…, 2 d)
        In at least float32: powers of small numbers do not fit into less.

    Raises
    ------
    TypeError
        If these are no floating point numbers.
    ValueError
        If the form is unknown.
    """
    _check(queries, form)
    return _features_of(queries, form, key=False)


def key_features(keys: Tensor, form: str = "split") -> Tensor:
    """Features (…, 2 d) of keys (…, d): of degree 3 in the key, so that its norm counts.

    Parameters, results and errors are those of :func:`query_features`.
    """
    _check(keys, form)
    return _features_of(keys, form, key=True)


def features_by_pytorch(vectors: Tensor, form: str, *, key: bool) -> Tensor:
    """Return the features by PyTorch's operations: what the kernels are held against."""
    exact = torch.promote_types(vectors.dtype, torch.float32)
    vectors = vectors.to(exact)
    if key and form == "split":
        return torch.cat([vectors.relu() ** 3, (-vectors).relu() ** 3], -1)
    if key:
        wide = vectors.double()
        return _turned(wide.abs() ** 3, _directions(wide)[0]).to(exact)
    directions, norm = _directions(vectors.double())
    sizes = _power(directions.abs(), 3 * (0.5 + norm.tanh()))
    halves = _split if form == "split" else _turned
    return halves(sizes, directions).to(exact)


def _directions(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Unit vectors and norms; both are 0, and their derivatives finite, where the vector is."""
    squares = vectors.square().sum(-1, keepdim=True)
    zero = squares == 0
    norm = torch.where(zero, 1.0, squares).sqrt()
    return vectors / norm, torch.where(zero, 0.0, norm)


def _power(base: Tensor, power: Tensor) -> Tensor:
    """``max(base, 0) ** power``, with derivatives of any order, also in the power, that are 0 at base 0."""
    positive = base > 0
    return torch.where(positive, torch.where(positive, base, 1.0) ** power, 0.0)


def _split(sizes: Tensor, directions: Tensor) -> Tensor:
    return torch.cat([torch.where(directions > 0, sizes, 0.0), torch.where(directions < 0, sizes, 0.0)], -1)


def _turned(sizes: Tensor, directions: Tensor) -> Tensor:
    angles = _QUARTER * directions
    return torch.cat([sizes * angles.cos(), sizes * angles.sin()], -1)


# ---- the kernels --------------------------------------------------------------------------------------


@kernel
def directions_of(x):  # type: ignore[no-untyped-def]
    """Unit vectors of the rows of a tile, their norms, and one over those that are not 0, all in float64."""
    wide = x.to(tl.float64)
    squares = tl.sum(wide * wide, axis=1)[:, None]
    norm = tl.sqrt(squares)
    inverse = 1 / tl.where(squares == 0, 1.0, norm)
    return wide * inverse, norm, inverse


@kernel
def rounded(exact):  # type: ignore[no-untyped-def]
    """A float64 in float32, and what that is off by in relation to itself."""
    near = exact.to(tl.float32)
    return near, (exact - near).to(tl.float32) / tl.where(near == 0, 1.0, near)


@kernel
def powers_of(norm):  # type: ignore[no-untyped-def]
    """What norms raise to, in float64: p, which is 3/2 + 3 tanh of the norm, and its derivative."""
    decay = tl.exp(-2 * norm)
    return 1.5 + 3 * (1 - decay) / (1 + decay), 12 * decay / ((1 + decay) * (1 + decay))


@kernel
def raised(size, power):  # type: ignore[no-untyped-def]
    """``size ** (power - 1)`` in float32, for a power from 3/2 to 9/2 in float64.

    Roundings of products cost less than those of an exponent: only what is left of a whole number goes through
    the logarithm.
    """
    whole = tl.floor(power - 1)
    rest = (power - 1.5 - whole).to(tl.float32)
    power = tl.sqrt_rn(size) * tl.exp(rest * tl.log(size))
    power *= tl.where(whole > 0.5, size, 1.0)
    power *= tl.where(whole > 1.5, size, 1.0)
    return power * tl.where(whole > 2.5, size, 1.0)


@kernel
def cosine_and_sine(angle):  # type: ignore[no-untyped-def]
    """Both, by their series, to 1e-15 for angles within a quarter of a half turn.

    The compiler's own are right for angles of any size, and spill registers for it.
    """
    square = angle * angle
    tenth = square / 90 * (1 - square / 132 * (1 - square / 182))
    ninth = square / 72 * (1 - square / 110 * (1 - square / 156))
    cosine = 1 - square / 2 * (1 - square / 12 * (1 - square / 30 * (1 - square / 56 * (1 - tenth))))
    sine = angle * (1 - square / 6 * (1 - square / 20 * (1 - square / 42 * (1 - ninth))))
    return cosine, sine


@kernel
def forward_kernel(  # type: ignore[no-untyped-def]
    x_ptr, output_ptr, rows, width,
    KEY: tl.constexpr, COSINE: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Write both halves of the features of some rows."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, WIDTH)
    mask = (row < rows)[:, None] & (column < width)[None, :]
    x = tl.load(x_ptr + row[:, None] * width + column[None, :], mask=mask, other=0.0).to(tl.float32)
    exact, norm, _ = directions_of(x)
    direction, slack = rounded(exact)
    if KEY:
        size = tl.abs(x * x * x)
    else:
        power, _ = powers_of(norm)
        side = tl.where(direction == 0, 1.0, tl.abs(direction))
        rough = tl.abs(direction) * raised(side, power)
        size = tl.fma(rough, power.to(tl.float32) * slack, rough)
    if COSINE:
        cosine, sine = cosine_and_sine(_QUARTER * direction)
        first, second = size * cosine, size * sine
    else:
        first, second = tl.where(x > 0, size, 0.0), tl.where(x < 0, size, 0.0)
    place = output_ptr + row[:, None] * 2 * width + column[None, :]
    tl.store(place, first, mask=mask)
    tl.store(place + width, second, mask=mask)


@kernel
def backward_kernel(  # type: ignore[no-untyped-def]
    grad_ptr, x_ptr, x_grad_ptr, rows, width,
    KEY: tl.constexpr, COSINE: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    r"""Write the gradient to some rows.

    With u the gradient to the direction d, and s that to the power, a query's is
    :math:`(u - d \langle d, u \rangle) / n + s\,p'(n)\,d`.
    """
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, WIDTH)
    mask = (row < rows)[:, None] & (column < width)[None, :]
    x = tl.load(x_ptr + row[:, None] * width + column[None, :], mask=mask, other=0.0).to(tl.float32)
    place = grad_ptr + row[:, None] * 2 * width + column[None, :]
    first = tl.load(place, mask=mask, other=0.0).to(tl.float32)
    second = tl.load(place + width, mask=mask, other=0.0).to(tl.float32)
    direction, norm, inverse = directions_of(x)
    # All in float64: a gradient may be what is left of sums that cancel, down to any share of them.
    if KEY:
        wide = x.to(tl.float64)
        size = tl.abs(wide * wide * wide)
        slope = 3 * wide * tl.abs(wide)
    else:
        # Not of x, whose direction may be 0 beside a long one.
        sign = tl.where(direction > 0, 1.0, tl.where(direction < 0, -1.0, 0.0))
        power, power_slope = powers_of(norm)
        logarithm = tl.log(tl.where(direction == 0, 1.0, tl.abs(direction)))
        lower = tl.exp((power - 1) * logarithm)
        size = tl.abs(direction) * lower
        slope = sign * power * lower
    if COSINE:
        cosine, sine = cosine_and_sine(_QUARTER * direction)
        size_grad = first * cosine + second * sine
        turn = _QUARTER * size * (second * cosine - first * sine)
    else:
        size_grad = tl.where(x > 0, first, tl.where(x < 0, second, 0.0)).to(tl.float64)
        turn = tl.zeros_like(direction)
    if KEY:
        around = turn
        grad = slope * size_grad
    else:
        around = slope * size_grad + turn
        grad = tl.sum(size_grad * size * logarithm, axis=1)[:, None] * power_slope * direction
    if COSINE or not KEY:
        # A coordinate's own part of the mean is left out on both sides.
        own = around * direction
        grad += (
            around * (1 - direction * direction) - direction * (tl.sum(own, axis=1)[:, None] - own)
        ) * inverse
    tl.store(x_grad_ptr + row[:, None] * width + column[None, :], grad.to(tl.float32), mask=mask)


# ---- their launchers ----------------------------------------------------------------------------------


def _tile(width: int, entries: int) -> dict[str, int]:
    columns = 1 << max(0, width - 1).bit_length()
    return {"ROWS": max(1, entries // columns), "WIDTH": columns}


def _launch_forward(x: Tensor, form: str, key: bool) -> Tensor:
    rows, width = x.shape
    output = x.new_empty(rows, 2 * width, dtype=torch.float32)
    tile = _tile(width, _TILE)
    forward_kernel[(blocks(rows, tile["ROWS"]),)](
        x.contiguous(), output, rows, width, KEY=key, COSINE=form == "cosine", **tile, num_warps=_WARPS
    )
    return output


def _launch_backward(grad: Tensor, x: Tensor, form: str, key: bool) -> Tensor:
    rows, width = x.shape
    x_grad = x.new_empty(rows, width, dtype=torch.float32)
    tile = _tile(width, _WIDE_TILE)
    lanes = max(_WIDE_TILE, tile["WIDTH"]) // _WIDE_LANE
    backward_kernel[(blocks(rows, tile["ROWS"]),)](
        grad.contiguous(), x.contiguous(), x_grad, rows, width,
        KEY=key, COSINE=form == "cosine", **tile,
        num_warps=lanes // (64 if torch.version.hip else 32),
    )  # fmt: skip
    return x_grad.to(x.dtype)


# ---- the operations as PyTorch knows them -------------------------------------------------------------


def _features_of(vectors: Tensor, form: str, *, key: bool) -> Tensor:
    width = vectors.shape[-1]
    # PyTorch's own operations can be differentiated forward, too, and be mapped.
    mapped = torch._C._are_functorch_transforms_active()
    if mapped or not vectors.numel() or width > _WIDEST or not takes_triton(vectors):
        return features_by_pytorch(vectors, form, key=key)
    return _features(vectors.reshape(-1, width), form, key).view(*vectors.shape[:-1], 2 * width)


@torch.library.custom_op("workbench::norm_features", mutates_args=())
def _features(x: Tensor, form: str, key: bool) -> Tensor:
    return _launch_forward(x, form, key)


@torch.library.custom_op("workbench::norm_features_backward", mutates_args=())
def _gradient(grad: Tensor, x: Tensor, form: str, key: bool) -> Tensor:
    return _launch_backward(grad, x, form, key)


@_features.register_fake
def _(x: Tensor, form: str, key: bool) -> Tensor:
    return x.new_empty(x.shape[0], 2 * x.shape[1], dtype=torch.float32)


@_gradient.register_fake
def _(grad: Tensor, x: Tensor, form: str, key: bool) -> Tensor:
    return x.new_empty(x.shape)


def _save(ctx: Any, inputs: tuple[Tensor, str, bool], output: Tensor) -> None:
    x, ctx.form, ctx.key = inputs
    ctx.save_for_backward(x)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None, None]:
    (x,) = ctx.saved_tensors
    if not torch.is_grad_enabled():
        return _gradient(grad, x, ctx.form, ctx.key), None, None
    # Whoever differentiates once more gets operations that can be.
    (gradient,) = replayed_gradients(
        lambda vectors: features_by_pytorch(vectors, ctx.form, key=ctx.key), [x], grad
    )
    return gradient, None, None


_features.register_autograd(_backward, setup_context=_save)


def _check(vectors: Tensor, form: str) -> None:
    check_choice("form", form, FORMS)
    if not vectors.is_floating_point():
        raise TypeError(f"queries and keys are floating point numbers, not {vectors.dtype}")
