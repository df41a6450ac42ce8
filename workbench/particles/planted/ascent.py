r"""``ascend``: from a warm start to the nearest maximum, without noise."""

import torch
from torch import Tensor

from workbench.choices import check_count
from workbench.particles.planted.model import Planted
from workbench.particles.planted.sphere import normalise


def ascend(model: Planted, start: Tensor, *, steps: int = 100) -> Tensor:
    r"""Follow the force: :math:`\theta \leftarrow \theta + f/|f|`, normalised, with :math:`f = -\nabla E`.

    The step of tensor power iteration, halved, so that it does not swing to and fro.

    Parameters
    ----------
    model : Planted
    start : Tensor (runs, sizes, dim)
        Unit vectors. Both signs of an even order are the same; that of an odd one is kept.
    steps : int
        Each is one force.

    Returns
    -------
    Tensor (runs, sizes, dim)
    """
    check_count("steps", steps)
    theta = start
    for _ in range(steps):
        theta = normalise(theta + normalise(model.force(theta)))
    return torch.where(theta.isfinite(), theta, start)
