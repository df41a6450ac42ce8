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
"""  # noqa: E501

import math

import torch
from torch import Tensor

from workbench.choices import check_choice

FORMS = ("split", "cosine")
_QUARTER = math.pi / 4


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
    queries = queries.to(torch.promote_types(queries.dtype, torch.float32))
    directions, norm = _directions(queries)
    power = 3 * (0.5 + norm.tanh())
    if form == "split":
        return torch.cat([_power(directions, power), _power(-directions, power)], -1)
    return _turned(_power(directions.abs(), power), directions)


def key_features(keys: Tensor, form: str = "split") -> Tensor:
    """Features (…, 2 d) of keys (…, d): of degree 3 in the key, so that its norm counts.

    Parameters, results and errors are those of :func:`query_features`.
    """
    _check(keys, form)
    keys = keys.to(torch.promote_types(keys.dtype, torch.float32))
    if form == "split":
        return torch.cat([keys.relu() ** 3, (-keys).relu() ** 3], -1)
    directions, _ = _directions(keys)
    return _turned(keys.abs() ** 3, directions)


def _directions(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Unit vectors and norms; both are 0, and so are all their derivatives, where the vector is."""
    squares = vectors.square().sum(-1, keepdim=True)
    zero = squares == 0
    norm = torch.where(zero, 1.0, squares).sqrt()
    return vectors / norm, torch.where(zero, 0.0, norm)


def _power(base: Tensor, power: Tensor) -> Tensor:
    """``max(base, 0) ** power``, with derivatives of any order, also in the power, that are 0 at base 0."""
    positive = base > 0
    return torch.where(positive, (power * torch.where(positive, base, 1.0).log()).exp(), 0.0)


def _turned(sizes: Tensor, directions: Tensor) -> Tensor:
    angles = _QUARTER * directions
    return torch.cat([sizes * angles.cos(), sizes * angles.sin()], -1)


def _check(vectors: Tensor, form: str) -> None:
    check_choice("form", form, FORMS)
    if not vectors.is_floating_point():
        raise TypeError(f"queries and keys are floating point numbers, not {vectors.dtype}")
