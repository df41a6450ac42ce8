r"""Phase 2: one number per location of its contribution :math:`e_u`, without building it.

With :math:`e_u = p_u \otimes q_u` in each group of channels, all aggregates follow from a few numbers per group
and location: the cost is that of reading x and g, not of their outer product. The forms are derived here.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from workbench.saliency.extraction import Contribution

Aggregation = Callable[[Contribution], Tensor]


def norm(e: Contribution) -> Tensor:
    r""":math:`\|e_u\| = \sqrt{\sum_G \|p_u\|^2 \|q_u\|^2}`, a map (N, h, w)."""
    if e.groups == 1 and e.window.trivial:
        return torch.linalg.vector_norm(e.patches, dim=1) * torch.linalg.vector_norm(e.gradient, dim=1)
    return (_patch_sum(e, e.patches.square()) * _sum(e, e.gradient.square())).sum(1).sqrt()


def positive_norm(e: Contribution) -> Tensor:
    r""":math:`\|\max(e_u, 0)\|`: positive entries are products of two positive or of two negative numbers."""
    p, q = e.patches, e.gradient
    both = _patch_sum(e, p.relu().square()) * _sum(e, q.relu().square())
    if q.numel() > 1:
        both = both + _patch_sum(e, (-p).relu().square()) * _sum(e, (-q).relu().square())
    return both.sum(1).sqrt()


def total(e: Contribution) -> Tensor:
    r""":math:`\sum e_u = \sum_G (\sum p_u)(\sum q_u)`, which has a sign."""
    return (_patch_sum(e, e.patches) * _sum(e, e.gradient)).sum(1)


def positive_total(e: Contribution) -> Tensor:
    r""":math:`\max(\sum e_u, 0)`."""
    return total(e).relu()


def maximum(e: Contribution) -> Tensor:
    r""":math:`\max e_u`: the largest product of an extreme entry of p and one of q."""
    high_p, low_p = _patch_max(e, e.patches), -_patch_max(e, -e.patches)
    high_q, low_q = _max(e, e.gradient), -_max(e, -e.gradient)
    products = (high_p * high_q, low_p * low_q, high_p * low_q, low_p * high_q)
    return torch.stack(products).amax(dim=(0, 2))


def absolute_maximum(e: Contribution) -> Tensor:
    r""":math:`\max |e_u| = \max_G \|p_u\|_\infty \|q_u\|_\infty`."""
    return (_patch_max(e, e.patches.abs()) * _max(e, e.gradient.abs())).amax(1)


def _sum(e: Contribution, values: Tensor) -> Tensor:
    """Sum over the channels of each group: (N, groups, h, w)."""
    if e.groups == values.shape[1]:
        return values
    return values.unflatten(1, (e.groups, -1)).sum(2)


def _max(e: Contribution, values: Tensor) -> Tensor:
    if e.groups == values.shape[1]:
        return values
    return values.unflatten(1, (e.groups, -1)).amax(2)


def _patch_sum(e: Contribution, values: Tensor) -> Tensor:
    return e.window.sum(_sum(e, values))


def _patch_max(e: Contribution, values: Tensor) -> Tensor:
    return e.window.max(_max(e, values))


AGGREGATIONS: dict[str, Aggregation] = {
    "norm": norm,
    "positive_norm": positive_norm,
    "sum": total,
    "positive_sum": positive_total,
    "max": maximum,
    "abs_max": absolute_maximum,
}
