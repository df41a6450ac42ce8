r"""A network trained by consensus-based optimisation with random batches, and by SGD for the same price.

Source: the network script of the code of "Gradient is All You Need?", arXiv:2306.09778 (random batches of
particles and of data, cooling and kicks as described there).
"""

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from workbench.batches import Batch, count_examples
from workbench.choices import check_count, check_number
from workbench.colors import BLUE
from workbench.particles.consensus_point import consensus_point
from workbench.particles.network_objective import batch_losses
from workbench.particles.noise import FIRST_STEP, START, normals
from workbench.problem import Problem
from workbench.progress import progress
from workbench.result import Result, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GRADIENT_COST = 3  # a forward pass, and a backward pass of twice its work


@dataclasses.dataclass(frozen=True, repr=False)
class NetworkTraining(Result):
    """How the loss of a network fell.

    Attributes
    ----------
    method : str
    epochs : ndarray (records,)
        Passes over the data; the first record is the start.
    loss : ndarray (records,)
        Over all of the problem's data, at the consensus or at SGD's parameters.
    passes : ndarray (records,)
        Price so far in forward passes over all of the data; a gradient counts as 3.
    ess : ndarray (records,)
        Mean effective sample size of the epoch's particle batches; nan for SGD.
    kicks : int
        How often particles that had stopped were set in motion.
    parameters : Tensor (n,)
        At the end.
    interrupted : bool
    """

    method: str
    epochs: np.ndarray
    loss: np.ndarray
    passes: np.ndarray
    ess: np.ndarray
    kicks: int
    parameters: Tensor
    interrupted: bool = False

    def frame(self) -> pd.DataFrame:
        """One row per epoch."""
        return pd.DataFrame(
            {
                "method": self.method,
                "epoch": self.epochs,
                "loss": self.loss,
                "passes": self.passes,
                "ess": self.ess,
            }
        )

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Loss against the price."""
        ax = new_axes(ax)
        ax.plot(self.passes, self.loss, color=BLUE, marker=".", label=self.method)
        ax.set_xlabel(f"forward passes over the data (a gradient counts as {GRADIENT_COST})")
        ax.set_ylabel("loss")
        ax.set_title(self.summary(), fontsize="small")
        return ax

    def summary(self) -> str:
        """Loss before and after, and the price."""
        kicks = f", {self.kicks} kicks" if self.kicks else ""
        return (
            f"{self.method}: loss {self.loss[0]:.4g} to {self.loss[-1]:.4g} in {self.epochs[-1]} epochs, "
            f"{self.passes[-1]:.4g} forward passes over the data{kicks}"
            + (", interrupted" if self.interrupted else "")
        )


def train_by_consensus(
    problem: Problem,
    *,
    epochs: int = 10,
    particles: int = 100,
    particle_batch: int = 10,
    data_batch: int = 60,
    alpha: float = 50.0,
    sigma: float = math.sqrt(0.4),
    lam: float = 1.0,
    dt: float = 0.1,
    cooling: bool = True,
    kick_below: float = 1e-5,
    spread: float = 1.0,
    seed: int = 0,
) -> NetworkTraining:
    r"""Train a network's selected parameters by anisotropic consensus-based optimisation with random batches.

    Each batch of the data goes with a random division of the particles into batches: the consensus of a
    particle batch, from its losses on this data, moves *all* particles one step. With cooling, after each
    epoch e = 1, 2, … :math:`\alpha` doubles and :math:`\sigma` becomes :math:`\sigma_0 / \log_2(e + 2)`.
    Where the consensus moved less than ``kick_below`` in every coordinate, all particles get a Brownian kick
    :math:`\sigma \sqrt{dt} z`.

    Parameters
    ----------
    problem : Problem
        Its model is not changed. Its batches are split into pieces of ``data_batch`` examples.
    epochs : int
        Passes over the data.
    particles, particle_batch : int
        The second has to divide the first.
    data_batch : int
        Examples.
    alpha, sigma, lam, dt : float
        Steepness of the weights, noise, pull to the consensus, time of a step.
    cooling : bool
        See above.
    kick_below : float
        See above; 0 for no kicks.
    spread : float
        Particles start normal about 0 with this deviation.
    seed : int
        Of start, noise and batches.

    Raises
    ------
    ValueError
        If a number is out of range.

    Notes
    -----
    Cost: ``particles`` forward passes over the data an epoch, and one for the loss that is recorded.
    """
    check_count("epochs", epochs)
    check_count("particle_batch", particle_batch)
    check_count("particles", particles, multiple=particle_batch)
    for name, value in (("alpha", alpha), ("sigma", sigma), ("dt", dt), ("spread", spread)):
        check_number(name, value, above=0, below=math.inf)
    pieces = _pieces(problem, data_batch)
    order = torch.Generator().manual_seed(seed)
    size = problem.num_parameters
    x = spread * normals(seed, [0], START, particles, size)[0]
    centre, step, kicks = x.mean(0), FIRST_STEP, 0
    records = [(0, problem.loss_at(centre), 0.0, math.nan)]
    interrupted = False
    try:
        with progress("training by consensus", epochs * len(pieces)) as advance:
            for epoch in range(epochs):
                heat = sigma / math.log2(2 + epoch) if cooling else sigma
                steepness = alpha * 2.0 ** min(epoch, 1000) if cooling else alpha
                sizes = []
                for place in torch.randperm(len(pieces), generator=order).tolist():
                    groups = torch.randperm(particles, generator=order).split(particle_batch)
                    for group in groups:
                        with torch.no_grad():
                            losses = batch_losses(problem, pieces[place], x[group])
                        point, ess = consensus_point(x[group], losses, steepness)
                        sizes.append(float(ess))
                        step += 1
                        if ess == 0:  # no loss of these is finite: there is no consensus to move to
                            continue
                        way = x - point
                        z = normals(seed, [0], step - 1, particles, size)[0]
                        x = x - lam * dt * way + heat * math.sqrt(dt) * way.abs() * z
                        if (point - centre).abs().max() < kick_below:
                            x = x + heat * math.sqrt(dt) * normals(seed, [1], step - 1, particles, size)[0]
                            kicks += 1
                        centre = point
                    advance(1)
                price = float((epoch + 1) * particles)
                records.append((epoch + 1, problem.loss_at(centre), price, float(np.mean(sizes))))
    except KeyboardInterrupt:
        interrupted = True
    method = f"consensus-based optimisation, {particles} particles in batches of {particle_batch}"
    return _training(method, records, kicks, centre, interrupted)


def train_by_sgd(
    problem: Problem,
    *,
    passes: float = 1000.0,
    rate: float = 0.1,
    data_batch: int = 60,
    spread: float | None = None,
    seed: int = 0,
) -> NetworkTraining:
    """Train the same parameters by plain SGD for a price in forward passes over the data.

    Parameters
    ----------
    problem : Problem
        Its model is not changed.
    passes : float
        Price; an epoch of gradients costs 3.
    rate : float
        Learning rate.
    data_batch : int
        Examples.
    spread : float, optional
        Start normal about 0 with this deviation; by default from the model's own parameters.
    seed : int
        Of start and batches.

    Raises
    ------
    ValueError
        If a number is out of range.
    """
    epochs = int(passes // GRADIENT_COST)
    check_count("passes", epochs)
    check_number("rate", rate, above=0)
    pieces = _pieces(problem, data_batch)
    order = torch.Generator().manual_seed(seed)
    own = problem.parameters_vector()
    theta = own if spread is None else spread * normals(seed, [0], START, 1, len(own))[0, 0].to(own)
    records = [(0, problem.loss_at(theta), 0.0, math.nan)]
    interrupted = False
    try:
        with progress("training by SGD", epochs) as advance:
            for epoch in range(epochs):
                for place in torch.randperm(len(pieces), generator=order).tolist():
                    slope = problem.batch_gradient(problem.as_parameters(theta), pieces[place])
                    theta = theta - rate * slope.to(theta)
                records.append(
                    (epoch + 1, problem.loss_at(theta), float(GRADIENT_COST * (epoch + 1)), math.nan)
                )
                advance(1)
    except KeyboardInterrupt:
        interrupted = True
    return _training(f"SGD, rate {rate:g}", records, 0, theta, interrupted)


def _training(
    method: str,
    records: list[tuple[int, float, float, float]],
    kicks: int,
    parameters: Tensor,
    interrupted: bool,
) -> NetworkTraining:
    epochs, loss, passes, ess = (np.array(column) for column in zip(*records, strict=True))
    return NetworkTraining(method, epochs, loss, passes, ess, kicks, parameters, interrupted)


def _pieces(problem: Problem, examples: int) -> list[Batch]:
    """The data in batches of at most so many examples.

    Raises
    ------
    ValueError
        If the loss of a batch is not made of those of its parts.
    """
    check_count("data_batch", examples)
    return [
        piece
        for batch, share in problem.batches()
        for piece, _ in problem.pieces(batch, share, max(1, -(-count_examples(batch) // examples)))
    ]
