r"""Attention in linear time: a kernel's features in place of the softmax.

With features :math:`\varphi_i` of the queries and :math:`\psi_j` of the keys,

.. math:: o_i = \frac{\langle \varphi_i, \frac1M \sum_j \psi_j v_j^\top \rangle}
                     {\langle \varphi_i, \frac1M \sum_j \psi_j \rangle + \epsilon}

over all M keys, or, if ``causal``, over those up to i, and M is their number. The sums over j are done first:
:math:`O(N F V)` in place of :math:`O(N^2 (F + V))`. A query with zero features has the output 0.

Source: Katharopoulos et al., "Transformers are RNNs", arXiv:2006.16236; the :math:`\epsilon` beside a mean is
that of the code released with NaLaFormer, arXiv:2506.21137.
"""

import torch
from torch import Tensor

EPSILON = 1e-6
_CHUNK = 32  # positions whose weights a causal sum computes pair by pair


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

    Raises
    ------
    ValueError
        If shapes do not fit, there is no key, or ``epsilon`` is negative.
    """
    _check(queries, keys, values, causal, epsilon)
    mean = _causal_mean if causal else _mean
    numerator = mean(*(rotated or (queries, keys)), values)
    return numerator / (mean(queries, keys, torch.ones_like(values[..., :1])) + epsilon)


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


def _check(queries: Tensor, keys: Tensor, values: Tensor, causal: bool, epsilon: float) -> None:
    leading, (length, width) = queries.shape[:-2], queries.shape[-2:]
    fits = keys.shape[:-2] == values.shape[:-2] == leading and keys.shape[-2] == values.shape[-2]
    if not fits or keys.shape[-1] != width or not keys.shape[-2] or (causal and keys.shape[-2] != length):
        shapes = ", ".join(str(tuple(each.shape)) for each in (queries, keys, values))
        allowed = "(…, N, F), (…, N, F), (…, N, V)" if causal else "(…, N, F), (…, M, F), (…, M, V), M > 0"
        raise ValueError(f"queries, keys and values have shapes {shapes}: they must be {allowed}")
    if not epsilon >= 0:
        raise ValueError(f"epsilon={epsilon} is negative: it must be at least 0")
