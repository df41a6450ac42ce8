r"""Attention in linear time: a kernel's features in place of the softmax.

With features :math:`\varphi_i` of the queries and :math:`\psi_j` of the keys,

.. math:: o_i = \frac{\langle \varphi_i, \frac1M \sum_j \psi_j v_j^\top \rangle}
                     {\langle \varphi_i, \frac1M \sum_j \psi_j \rangle + \epsilon}

over all M keys, or, if ``causal``, over those up to i, and M is their number. The sums over j are done first:
:math:`O(N F V)` in place of :math:`O(N^2 (F + V))`. A query with zero features has the output 0.

Over all keys the sums are those of the covariance C of keys and values, beside their means: with the
denominator :math:`w_i` the output is :math:`C^\top \varphi_i / w_i + (1 - \epsilon / w_i)\,\bar v`. The
features are not negative, so most of a sum is its mean, and outputs and gradients would be small differences
of large sums.

Source: Katharopoulos et al., "Transformers are RNNs", arXiv:2006.16236; the :math:`\epsilon` beside a mean is
that of the code released with NaLaFormer, arXiv:2506.21137.
"""

from typing import Any

import torch
from torch import Tensor

from workbench.kernels.dispatch import takes_triton
from workbench.kernels.jit import blocks, kernel, tl
from workbench.kernels.replay import replayed_gradients

EPSILON = 1e-6
_CHUNK = 32  # positions whose weights a causal sum computes pair by pair
_WIDEST = 256  # features of a head that the kernels take; wider ones are matrix products of PyTorch
_SLICE = 2048  # keys that a program sums before it writes
_WARPS = 8


def linear_attention(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    *,
    rotated: tuple[Tensor, Tensor] | None = None,
    causal: bool = False,
    epsilon: float = EPSILON,
) -> Tensor:
    """Mix values (…, M, V) by the features of queries (…, N, F) and keys (…, M, F).

    Parameters
    ----------
    queries, keys, values : Tensor
        The leading dimensions are alike.
    rotated : (Tensor, Tensor), optional
        Features of queries and keys that take the place of these in the numerator, such as these turned by
        their positions. The weights are no mean then, and may be negative.
    causal : bool
        Whether position i sees only keys up to i; there are as many keys as queries then.
    epsilon : float
        Added to the denominator, at least 0. Where the mean product of the features comes near it, the
        weights add up to less than 1.

    Returns
    -------
    Tensor (…, N, V)
        On a GPU by two kernels, which read everything once and sum in a fixed order, for the plain form with
        up to 256 features of a head; causal and rotated forms are products of PyTorch everywhere.

    Raises
    ------
    ValueError
        If shapes do not fit, there is no key, or ``epsilon`` is negative.
    """
    _check(queries, keys, values, causal, epsilon)
    if rotated is None and not causal and _fits(queries, keys, values):
        flat = (each.reshape(-1, *each.shape[-2:]) for each in (queries, keys, values))
        return _attention(*flat, epsilon).view(*queries.shape[:-1], values.shape[-1])
    return attention_by_pytorch(queries, keys, values, rotated, causal, epsilon)


def attention_weights(
    queries: Tensor, keys: Tensor, *, causal: bool = False, epsilon: float = EPSILON
) -> Tensor:
    """Weights (…, N, M) that :func:`linear_attention` gives the values: the same sums, in quadratic time.

    Parameters and errors are those of :func:`linear_attention`.
    """
    _check(queries, keys, keys, causal, epsilon)
    products = queries @ keys.transpose(-1, -2)
    count: Tensor | int = keys.shape[-2]
    if causal:
        products, count = products.tril(), _places(queries)
    return products / (products.sum(-1, keepdim=True) + epsilon * count)


def attention_by_pytorch(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    rotated: tuple[Tensor, Tensor] | None = None,
    causal: bool = False,
    epsilon: float = EPSILON,
) -> Tensor:
    """Return the output by PyTorch's operations: what the kernels are held against."""
    mean = _causal_mean if causal else _mean
    if rotated or causal:  # weights that are no mean, and outputs that no later value may touch
        numerator = mean(*(rotated or (queries, keys)), values)
        return numerator / (mean(queries, keys, torch.ones_like(values[..., :1])) + epsilon)
    of_keys, of_values = keys.mean(-2, keepdim=True), values.mean(-2, keepdim=True)
    weights = (queries * of_keys).sum(-1, keepdim=True) + epsilon
    around = mean(queries, keys - of_keys, values - of_values)
    return around / weights + of_values * (1 - epsilon / weights)


def _mean(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    return queries @ (keys.transpose(-1, -2) @ values / keys.shape[-2])


def _causal_mean(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Sums up to each position: pair by pair within a chunk, by the state before it for all earlier ones."""
    positions = queries.shape[-2]
    fill = -positions % _CHUNK
    queries, keys, values = (
        torch.nn.functional.pad(each, (0, 0, 0, fill)).unflatten(-2, (-1, _CHUNK))
        for each in (queries, keys, values)
    )
    states = (keys.transpose(-1, -2) @ values).cumsum(-3)
    before = torch.cat([torch.zeros_like(states[..., :1, :, :]), states[..., :-1, :, :]], -3)
    within = (queries @ keys.transpose(-1, -2)).tril() @ values
    sums = (queries @ before + within).flatten(-3, -2)[..., :positions, :]
    return sums / _places(sums)


def _places(tensor: Tensor) -> Tensor:
    """Number of positions (N, 1) up to each."""
    return torch.arange(1, tensor.shape[-2] + 1, device=tensor.device, dtype=tensor.dtype)[:, None]


# ---- the kernels --------------------------------------------------------------------------------------


@kernel
def state_kernel(  # type: ignore[no-untyped-def]
    keys_ptr, values_ptr, state_ptr, total_ptr, length, features, channels,
    PRECISION: tl.constexpr, SLICE: tl.constexpr, KEYS: tl.constexpr, FEATURES: tl.constexpr,
    CHANNELS: tl.constexpr,
):  # fmt: skip
    """Sum a slice of one head's keys: with the values, and for the first channels by themselves."""
    head = tl.program_id(0).to(tl.int64)
    part = tl.program_id(1)
    feature = tl.arange(0, FEATURES)
    channel = tl.program_id(2) * CHANNELS + tl.arange(0, CHANNELS)
    state = tl.zeros([FEATURES, CHANNELS], tl.float32)
    total = tl.zeros([FEATURES], tl.float32)
    for step in range(0, SLICE, KEYS):
        key = part * SLICE + step + tl.arange(0, KEYS)
        row = head * length + key
        key_mask = (key < length)[:, None] & (feature < features)[None, :]
        value_mask = (key < length)[:, None] & (channel < channels)[None, :]
        of_keys = tl.load(keys_ptr + row[:, None] * features + feature[None, :], mask=key_mask, other=0.0).to(
            tl.float32
        )
        values = tl.load(
            values_ptr + row[:, None] * channels + channel[None, :], mask=value_mask, other=0.0
        ).to(tl.float32)
        state += tl.dot(tl.trans(of_keys), values, input_precision=PRECISION)
        total += tl.sum(of_keys, axis=0)
    place = (head * tl.num_programs(1) + part) * features + feature
    mask = (feature < features)[:, None] & (channel < channels)[None, :]
    tl.store(state_ptr + place[:, None] * channels + channel[None, :], state, mask=mask)
    if tl.program_id(2) == 0:
        tl.store(total_ptr + place, total, mask=feature < features)


@kernel
def output_kernel(  # type: ignore[no-untyped-def]
    queries_ptr, state_ptr, total_ptr, centre_ptr, output_ptr, length, features, channels, epsilon,
    PRECISION: tl.constexpr, QUERIES: tl.constexpr, FEATURES: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Write some queries' output of one head, for some channels."""
    head = tl.program_id(0).to(tl.int64)
    query = tl.program_id(1) * QUERIES + tl.arange(0, QUERIES)
    channel = tl.program_id(2) * CHANNELS + tl.arange(0, CHANNELS)
    row = head * length + query
    numerator = tl.zeros([QUERIES, CHANNELS], tl.float32)
    denominator = tl.zeros([QUERIES], tl.float32)
    for step in range(0, features, FEATURES):
        feature = step + tl.arange(0, FEATURES)
        query_mask = (query < length)[:, None] & (feature < features)[None, :]
        of_queries = tl.load(
            queries_ptr + row[:, None] * features + feature[None, :], mask=query_mask, other=0.0
        ).to(tl.float32)
        place = head * features + feature
        state_mask = (feature < features)[:, None] & (channel < channels)[None, :]
        state = tl.load(
            state_ptr + place[:, None] * channels + channel[None, :], mask=state_mask, other=0.0
        ).to(tl.float32)
        total = tl.load(total_ptr + place, mask=feature < features, other=0.0).to(tl.float32)
        numerator += tl.dot(of_queries, state, input_precision=PRECISION)
        denominator += tl.sum(of_queries * total[None, :], axis=1)
    weights = tl.where(query < length, denominator + epsilon, 1.0)[:, None]
    place = head * channels + channel
    centre = tl.load(centre_ptr + place, mask=channel < channels, other=0.0).to(tl.float32)
    output = numerator / weights + centre[None, :] * (1 - epsilon / weights)
    mask = (query < length)[:, None] & (channel < channels)[None, :]
    tl.store(output_ptr + row[:, None] * channels + channel[None, :], output, mask=mask)


# ---- their launchers ----------------------------------------------------------------------------------


def _launch(queries: Tensor, keys: Tensor, values: Tensor, epsilon: float) -> Tensor:
    heads, length, features = keys.shape
    channels = values.shape[-1]
    # AMD's tensor cores multiply float32 itself, NVIDIA's need three products for nearly as much.
    precision = "ieee" if torch.version.hip else "tf32x3"
    columns = min(32, _power_of_two(channels))
    parts, strips = blocks(length, _SLICE), blocks(channels, columns)
    state = keys.new_empty(heads, parts, features, channels, dtype=torch.float32)
    total = keys.new_empty(heads, parts, features, dtype=torch.float32)
    state_kernel[heads, parts, strips](
        keys.contiguous(), values.contiguous(), state, total, length, features, channels,
        PRECISION=precision, SLICE=_SLICE, KEYS=32, FEATURES=_power_of_two(features), CHANNELS=columns,
        num_warps=_WARPS,
    )  # fmt: skip
    state, total = state.sum(1) / length, total.sum(1) / length
    # The values relative to a mean of theirs, which is near all outputs where the weights are.
    squares = total.square().sum(1, keepdim=True)
    centre = (total[:, None] @ state)[:, 0] / torch.where(squares > 0, squares, 1.0)
    state -= total[..., None] * centre[:, None]
    count = queries.shape[1]
    output = queries.new_empty(heads, count, channels, dtype=torch.float32)
    output_kernel[heads, blocks(count, 32), strips](
        queries.contiguous(), state, total, centre, output, count, features, channels, epsilon,
        PRECISION=precision, QUERIES=32, FEATURES=min(64, _power_of_two(features)), CHANNELS=columns,
        num_warps=_WARPS,
    )  # fmt: skip
    return output


def _power_of_two(size: int) -> int:
    """At least 16, the least that tensor cores multiply."""
    return max(16, 1 << (size - 1).bit_length())


# ---- the operation as PyTorch knows it ----------------------------------------------------------------


def _fits(queries: Tensor, keys: Tensor, values: Tensor) -> bool:
    """Whether the kernels take these; PyTorch's operations can be differentiated forward, too, and mapped."""
    alike = queries.dtype == keys.dtype == values.dtype == torch.float32
    return (
        alike
        and keys.shape[-1] <= _WIDEST
        and queries.numel() > 0
        and values.numel() > 0
        and not torch._C._are_functorch_transforms_active()
        and takes_triton(queries, keys, values)
    )


@torch.library.custom_op("workbench::linear_attention", mutates_args=())
def _attention(queries: Tensor, keys: Tensor, values: Tensor, epsilon: float) -> Tensor:
    return _launch(queries, keys, values, epsilon)


@_attention.register_fake
def _(queries: Tensor, keys: Tensor, values: Tensor, epsilon: float) -> Tensor:
    return queries.new_empty(*queries.shape[:2], values.shape[2], dtype=torch.float32)


def _save(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, float], output: Tensor) -> None:
    *tensors, ctx.epsilon = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    def attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        return attention_by_pytorch(queries, keys, values, epsilon=ctx.epsilon)

    return *replayed_gradients(attend, ctx.saved_tensors, grad), None


_attention.register_autograd(_backward, setup_context=_save)


def _check(queries: Tensor, keys: Tensor, values: Tensor, causal: bool, epsilon: float) -> None:
    leading, (length, width) = queries.shape[:-2], queries.shape[-2:]
    fits = keys.shape[:-2] == values.shape[:-2] == leading and keys.shape[-2] == values.shape[-2]
    if not fits or keys.shape[-1] != width or not keys.shape[-2] or (causal and keys.shape[-2] != length):
        shapes = ", ".join(str(tuple(each.shape)) for each in (queries, keys, values))
        allowed = "(…, N, F), (…, N, F), (…, N, V)" if causal else "(…, N, F), (…, M, F), (…, M, V), M > 0"
        raise ValueError(f"queries, keys and values have shapes {shapes}: they must be {allowed}")
    if not epsilon >= 0:
        raise ValueError(f"epsilon={epsilon} is negative: it must be at least 0")
