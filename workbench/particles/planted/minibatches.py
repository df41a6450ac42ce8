r"""``minibatch_sgd``: the paper's conjecture, that the noise of minibatches is enough.

Sphere-constrained SGD on one data set, again and again, with nothing added; then its average. The gradient
of one sample scatters by :math:`k(1+\sigma^2)` in every direction near the equator, so that a rate
:math:`\eta` with batches of B acts like a temperature: :math:`2h/\beta = \eta^2 k(1+\sigma^2)/B` with the
mean loss. At a wanted :math:`\beta = b\sqrt d` of the scaled energy this gives

.. math::

    \eta = \frac{2B}{k\, b \sqrt{n d\,(1+\sigma^2)}}, \qquad
    \delta = \frac{d-1}{d}\,\frac{2B}{k\, b^2 n}

so an epoch lasts :math:`2/(k b^2)` times in which a direction is forgotten, whatever the batch size. That is
derived here; the noise of real batches is neither normal nor the same everywhere. A tensor has no batches.
"""

import math

import torch
from torch import Tensor

from workbench.choices import check_number
from workbench.particles.noise import normals
from workbench.particles.planted.averages import follow
from workbench.particles.planted.chain_run import ChainRun
from workbench.particles.planted.chains import chain_steps
from workbench.particles.planted.hermite import hermite_slope
from workbench.particles.planted.index_models import IndexModel
from workbench.particles.planted.sphere import FIRST_STEP, normalise, tangent


def minibatch_sgd(
    model: IndexModel,
    *,
    beta: float = 0.3,
    step: float = 0.2,
    length: float = 2.0,
    burn_in: float = 5.0,
    seed: int = 0,
) -> ChainRun:
    r"""Run minibatch SGD at the rate that imitates a temperature, from uniform starts, and average it.

    Parameters
    ----------
    model : IndexModel
        From :func:`single_index`.
    beta : float
        The inverse temperature over :math:`\sqrt d` that the noise of batches is to imitate.
    step : float
        :math:`\delta` that decides the batch size, which is rounded and at least 1.
    length, burn_in : float
        As those of :func:`langevin`.
    seed : int
        Of the batches, whose samples are drawn with replacement, and of the starts.

    Raises
    ------
    TypeError
        If the model has no samples to make batches of.
    ValueError
        If a number is out of range.

    Notes
    -----
    Cost: a step of one size is as many sample gradients as its batch.
    """
    if not isinstance(model, IndexModel):
        raise TypeError(f"model is a {type(model).__name__}, which has no minibatches: use single_index")
    check_number("beta", beta, above=0, below=math.inf)
    check_number("step", step, above=0, below=1)
    batches = [batch_size(model, size, beta, step) for size in model.sizes]
    pace = torch.tensor(
        [_pace(model, size, batch, beta) for size, batch in zip(model.sizes, batches, strict=True)]
    )
    scale = model.order * beta * math.sqrt(model.dim * (1 + model.noise**2))
    rates = [2 * batch / (scale * math.sqrt(size)) for size, batch in zip(model.sizes, batches, strict=True)]
    counted, skipped = chain_steps(model, beta, pace, length, None, burn_in)

    def move(theta: Tensor, k: int) -> Tensor:
        z = normals(seed, model.runs, FIRST_STEP + k, 1, sum(batches), torch.float64)[:, 0]
        quantiles = torch.special.ndtr(z).split(batches, 1)
        parts = []
        for place, (size, rate) in enumerate(zip(model.sizes, rates, strict=True)):
            gradient = _batch_gradient(model, theta[:, place], (quantiles[place] * size).long())
            parts.append(normalise(theta[:, place] + rate * tangent(theta[:, place], gradient)))
        return torch.stack(parts, 1)

    return follow(
        model,
        move,
        method="minibatch SGD",
        steps=counted + skipped,
        burn_in=skipped,
        pace=pace,
        gradients=torch.tensor(batches),
        settings={"beta": beta, "step": step, "seed": seed, "batches": batches, "rates": rates},
    )


def batch_size(model: IndexModel, size: int, beta: float, step: float) -> int:
    r"""The batch whose SGD, at the temperature of ``beta``, has this :math:`\delta`; at least 1."""
    return max(1, round(step * model.order * beta**2 * size / 2))


def _pace(model: IndexModel, size: int, batch: int, beta: float) -> float:
    return (model.dim - 1) / model.dim * 2 * batch / (model.order * beta**2 * size)


def _batch_gradient(model: IndexModel, theta: Tensor, chosen: Tensor) -> Tensor:
    """Minus the gradient of the mean loss (runs, dim) of chosen samples (runs, batch)."""
    run = torch.arange(len(chosen))[:, None]
    x, y = model.inputs[run, chosen], model.labels[run, chosen]
    slopes = hermite_slope(model.order, (x @ theta[:, :, None])[..., 0])
    return ((y * slopes)[:, None] @ x)[:, 0] / chosen.shape[1]
