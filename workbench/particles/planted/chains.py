r"""``langevin``: noisy gradient descent on the sphere, with its last iterate and its average.

A step is :math:`\theta \leftarrow \theta - h P\nabla E(\theta) + \sqrt{2h/\beta}\, P z`, normalised, with
:math:`P = I - \theta\theta^\top`. Two numbers without dimension set it: :math:`\beta/\sqrt d`, for at
:math:`\beta \sim \sqrt d` the noise of the energy begins to freeze the chain, and
:math:`\delta = (d-1)h/\beta`, for a chain without drift forgets where it was at the rate
:math:`e^{-\delta}` a step. Sums of :math:`\delta` are therefore times in which a direction is forgotten.

The paper averages the iterate; for even k that average is 0 by symmetry and the first eigenvector of
:math:`\overline{\theta\theta^\top}` takes its place (derived here, as are the step, the temperature and the
length: only the abstract of the paper could be read).

Source: Wei, Damian and Lee, "Improved high-dimensional estimation with Langevin dynamics and stochastic
weight averaging", arXiv:2603.06028.
"""

import math

import torch
from torch import Tensor

from workbench.choices import check_count, check_number
from workbench.particles.planted.averages import BLOCK, chain_noise, follow
from workbench.particles.planted.chain_run import ChainRun
from workbench.particles.planted.model import Planted, averaging_time
from workbench.particles.planted.sphere import normalise, tangent


def langevin(
    model: Planted,
    *,
    beta: float = 0.3,
    step: float = 0.2,
    length: float = 2.0,
    steps: int | None = None,
    burn_in: float = 5.0,
    seed: int = 0,
) -> ChainRun:
    r"""Run spherical Langevin dynamics from uniform starts, one chain for each run and size.

    Parameters
    ----------
    model : Planted
        From :func:`tensor_pca` or :func:`single_index`.
    beta : float
        Inverse temperature over :math:`\sqrt d`, at least 0, for an energy whose noise has unit variance.
    step : float
        :math:`\delta`, between 0 and 1.
    length : float
        Of the chain without its burn-in, in units of :func:`averaging_time`; positive.
    steps : int, optional
        Of the chain without its burn-in, instead; rounded up to a multiple of 64.
    burn_in : float
        Time that the averages leave out at the start, in units of that in which a direction is forgotten.
    seed : int
        Of the chain's noise. The noise of a chain depends on it and on the numbers of run and size, not on
        what the chain is batched with.

    Raises
    ------
    ValueError
        If a number is out of range, or ``beta`` is 0 and no ``steps`` are given.

    Notes
    -----
    Cost: one gradient of every chain a step; for a tensor ``2 * runs * sizes * dim**order`` operations each.
    After Ctrl-C what is done comes back, with ``interrupted`` set.
    """
    check_number("beta", beta, low=0, above=0 if steps is None else -math.inf, below=math.inf)
    check_number("step", step, above=0, below=1)
    counted, skipped = chain_steps(model, beta, torch.tensor([step]), length, steps, burn_in)
    drift = beta * math.sqrt(model.dim) * step / (model.dim - 1)
    width = math.sqrt(2 * step / (model.dim - 1))

    def move(theta: Tensor, k: int) -> Tensor:
        push = drift * model.force(theta) + width * chain_noise(model, seed, k)
        return normalise(theta + tangent(theta, push))

    return follow(
        model,
        move,
        method="Langevin",
        steps=counted + skipped,
        burn_in=skipped,
        pace=torch.full((len(model.sizes),), step),
        gradients=model.samples,
        settings={"beta": beta, "step": step, "seed": seed},
    )


def chain_steps(
    model: Planted, beta: float, pace: Tensor, length: float, steps: int | None, burn_in: float
) -> tuple[int, int]:
    """Steps that enter the averages, and those before them, both multiples of 64; enough for all sizes.

    Raises
    ------
    TypeError, ValueError
        If a number is out of range.
    """
    check_number("length", length, above=0, below=math.inf)
    check_number("burn_in", burn_in, low=0, below=math.inf)
    slowest = float(pace.min())
    if steps is None:
        wanted = length * averaging_time(model.order, model.dim, beta) / slowest
        if not wanted < 2**53:
            raise ValueError(f"beta={beta} is too small for a length={length}: it takes {wanted:.2g} steps")
        steps = math.ceil(wanted)
    check_count("steps", steps)
    return BLOCK * math.ceil(steps / BLOCK), BLOCK * math.ceil(burn_in / slowest / BLOCK)
