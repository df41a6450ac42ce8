r"""The consensus point of particles: their mean under the weights :math:`e^{-\alpha f}`.

The weights are relative to the least energy (log-sum-exp), so nothing overflows and a constant added to the
objective changes nothing. Sums go over the particles in an order that depends on their number only.
"""

from typing import NamedTuple

from torch import Tensor

from workbench.kernels.consensus_steps import consensus_mean


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
    Energies that are not finite have no weight. Both are computed in float32 at least; the point is rounded
    to the dtype of the positions. On a GPU a kernel sums.

    Raises
    ------
    ValueError
        If shapes do not fit.
    """
    point, ess = consensus_mean(positions, energy, alpha)
    return ConsensusPoint(point.to(positions.dtype), ess)
