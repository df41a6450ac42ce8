r"""What the variance-reduced estimators share: forms of A in what random vectors have outside a subspace.

All of them are inner products: with :math:`u = Q^\top v`,
:math:`v^\top (I - QQ^\top) A (I - QQ^\top) v` is
:math:`v^\top A v - u^\top Q^\top (A + A^\top) v + u^\top Q^\top A Q u`, and
:math:`\|A (I - QQ^\top) v\|^2` is :math:`\|A v\|^2 - 2 u^\top (A Q)^\top A v + u^\top (A Q)^\top A Q u`.
"""

import torch
from torch import Tensor


def outside(forms: Tensor, cross: Tensor, compressed: Tensor, coordinates: Tensor) -> Tensor:
    """Return the forms (k,) outside.

    They follow from those of the whole vectors (k,), the cross terms (m, k), the form on the subspace (m, m)
    and the vectors' coordinates there (m, k).
    """
    return forms - (coordinates * cross).sum(dim=0) + quadratic(compressed, coordinates)


def scales(spherical: bool, dimension: int, lengths: Tensor) -> Tensor:
    """Factors that give vectors with these squared lengths the length expected in so many dimensions.

    What a spherical vector has outside a subspace is uniform in direction, so fixing its length keeps the
    mean and removes variance. Other vectors are left as they are.
    """
    if not spherical:
        return torch.ones_like(lengths)
    return dimension / lengths.clamp_min(torch.finfo(lengths.dtype).tiny)


def quadratic(matrix: Tensor, columns: Tensor) -> Tensor:
    """``x·Mx`` for each column x."""
    return (columns * (matrix @ columns)).sum(dim=0)


def small(rows: Tensor, others: Tensor) -> Tensor:
    """Inner products of all rows with all others, float64 on the CPU."""
    return (rows @ others.T).double().cpu()


def paired(rows: Tensor, others: Tensor) -> Tensor:
    """Inner product of each row with its partner, accumulated in float64, on the CPU."""
    return torch.stack([row.double() @ other.double() for row, other in zip(rows, others, strict=True)]).cpu()
