"""``equal_evaluations``: swarms and the methods that use gradients, with the same budget."""

import math

from workbench.particles.comparisons import (
    Comparison,
    annealed_langevin,
    compare,
    gradient_descent,
    minimising_movement,
)
from workbench.particles.landscapes import Landscape
from workbench.particles.optimization import consensus
from workbench.particles.schedules import Schedule


def equal_evaluations(
    landscape: Landscape,
    *,
    dim: int = 2,
    evaluations: int = 15_000,
    runs: int = 50,
    particles: int = 50,
    steepness: float = 1e4,
    noise: float = 5.0,
    width: float = 0.7,
    rate: float = 1e-3,
    temperature: float = 10.0,
    tau: float = 0.5,
    seed: int = 0,
) -> Comparison:
    r"""Spend the same number of evaluations a run on five methods, all from uniform starts in the box.

    Gradient descent and the annealed Langevin dynamics have the rate and temperature of the code of
    "Gradient is All You Need?" by default, arXiv:2306.09778; a gradient counts as 3 evaluations.

    Parameters
    ----------
    landscape : Landscape
        With a known minimiser.
    dim, runs : int
        Variables, and starts in the landscape's box.
    evaluations : int
        Of each run.
    particles : int
        Of both swarms.
    steepness, noise : float
        :math:`\alpha` of both swarms, :math:`\sigma` of the anisotropic one.
    width : float
        Of the hopping swarm at first; it falls to a hundredth over the budget, step by step.
    rate, temperature, tau : float
        Learning rate of descent and Langevin, noise of the latter, size of the proximal steps.
    seed : int
        Of starts and noise. The three that follow one point have the same starts.

    Raises
    ------
    ValueError
        If a number is out of range, or no minimiser is known.
    """
    landscape.minimiser(dim)  # refuses before the work if none is known or dim is not its own
    steps = max(1, evaluations // particles - 1)
    cooling = Schedule(width, factor=math.exp(math.log(0.01) / steps))
    swarm, hopping = (
        consensus(
            landscape,
            particles,
            dim,
            runs,
            steps,
            kind=kind,
            alpha=steepness,
            sigma=sigma,
            seed=seed,
            evaluations=evaluations,
            cosine=False,
        )
        for kind, sigma in (("anisotropic", noise), ("hopping", cooling))
    )
    first = consensus(landscape, 1, dim, runs, 0, seed=seed, cosine=False)  # uniform in the box
    start = first.particles[:, 0]
    return compare(
        landscape,
        swarm,
        hopping,
        annealed_langevin(landscape, start, rate=rate, sigma=temperature, evaluations=evaluations, seed=seed),
        minimising_movement(landscape, start, tau=tau, evaluations=evaluations),
        gradient_descent(landscape, start, rate=rate, evaluations=evaluations),
    )
