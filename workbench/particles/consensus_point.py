r"""The consensus point of particles: their mean under the weights :math:`e^{-\alpha f}`.

The weights are relative to the least energy (log-sum-exp), so nothing overflows and a constant added to the
objective changes nothing. Sums go pairwise over the particles in an order that depends on their number only.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class ConsensusPoint(NamedTuple):
    r"""The consensus of each run.

    Attributes
    ----------
    point : Tensor (..., dim)
        Weighted mean of the particles; nan where no energy is finite.
    ess : Tensor (...)
        Effective sample size, :math:`(\sum w)^2 / \sum w^2`: between 1 and the number of particles, 0 where
        no energy is finite.
    """

    point: Tensor
    ess: Tensor


def consensus_point(positions: Tensor, energy: Tensor, alpha: float) -> ConsensusPoint:
    """Weighted mean of particles (..., particles, dim) with energies (..., particles), and its sample size.

    ``alpha`` may be 0 (the mean) and inf (the best particle, or the mean of those that are equally good).
    Energies that are not finite have no weight.
    """
    weights = consensus_weights(energy, alpha)
    total = ordered_sum(weights[..., None])
    point = ordered_sum(weights[..., None] * torch.where(weights[..., None] > 0, positions, 0)) / total
    squares = ordered_sum(weights.square()[..., None])
    return ConsensusPoint(point, (total.square() / squares)[..., 0].nan_to_num(0.0))


def consensus_weights(energy: Tensor, alpha: float) -> Tensor:
    """Weights (..., particles) of energies: 1 for the least of each run, 0 for what is not finite."""
    finite = energy.isfinite()
    lowest = torch.where(finite, energy, torch.inf).amin(-1, keepdim=True)
    rise = torch.where(finite, energy - lowest, torch.inf)
    steepness = min(alpha, torch.finfo(energy.dtype).max)  # inf times a rise of 0 would be nan
    return torch.where(finite, torch.exp(-steepness * rise), 0)


def ordered_sum(values: Tensor) -> Tensor:
    """Sum over the particles, the last axis but one: halves are added until one row is left.

    Libraries choose the order of a sum by the shape of the whole batch; here it is that of one run.
    """
    while (count := values.shape[-2]) > 1:
        half = count // 2
        sums = values[..., :half, :] + values[..., half : 2 * half, :]
        if count % 2:
            sums[..., 0, :] += values[..., -1, :]
        values = sums
    return values[..., 0, :]
