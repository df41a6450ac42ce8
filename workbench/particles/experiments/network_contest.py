"""``train_both``: a small network on digits, trained by a swarm and by SGD for the same price.

After the network script of the code of "Gradient is All You Need?", arXiv:2306.09778, with its laws and batch
sizes, on smaller images and a smaller network. Data card: ``digits.md``.
"""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import nn

from workbench.choices import check_count
from workbench.colors import BLUE, VERMILION
from workbench.particles.network_training import NetworkTraining, train_by_consensus, train_by_sgd
from workbench.problem import Problem
from workbench.problems.datasets import digits
from workbench.result import Result, clopper_pearson, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True, repr=False)
class NetworkContest(Result):
    """Two trainings of one network.

    Attributes
    ----------
    parameters : int
        Of the network.
    trainings : tuple of NetworkTraining
        By consensus, and by SGD.
    right : tuple of int
        Held-out digits that each classifies rightly at its end.
    held_out : int
        Of how many.
    interrupted : bool
    """

    parameters: int
    trainings: tuple[NetworkTraining, NetworkTraining]
    right: tuple[int, int]
    held_out: int
    interrupted: bool = False

    @property
    def accuracy(self) -> tuple[float, float]:
        """Share of the held-out digits, by consensus and by SGD."""
        return self.right[0] / self.held_out, self.right[1] / self.held_out

    def frame(self) -> pd.DataFrame:
        """One row per method: price, loss, held-out accuracy with its exact 95 % interval."""
        low, high = clopper_pearson(np.array(self.right), self.held_out)
        return pd.DataFrame(
            {
                "method": [each.method for each in self.trainings],
                "passes": [each.passes[-1] for each in self.trainings],
                "loss": [each.loss[-1] for each in self.trainings],
                "accuracy": self.accuracy,
                "low": low,
                "high": high,
            }
        )

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Losses against the price."""
        ax = new_axes(ax)
        for each, color in zip(self.trainings, (BLUE, VERMILION), strict=True):
            ax.plot(each.passes, each.loss, color=color, marker=".", label=each.method)
        ax.set_yscale("log")
        ax.set_xlabel("forward passes over the data (a gradient counts as 3)")
        ax.set_ylabel("loss on the training split")
        ax.set_title(f"{self.parameters} parameters, digits", fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """Loss and accuracy of both."""
        lines = [
            f"{row.method}: loss {row.loss:.4g}, held-out accuracy {row.accuracy:.3f} ({row.low:.3f} to "
            f"{row.high:.3f}, 95 % interval), {row.passes:.4g} forward passes"
            for row in self.frame().itertuples()
        ]
        head = f"{self.parameters} parameters" + (", interrupted" if self.interrupted else "")
        return "\n".join([head, *lines])


def train_both(
    *, hidden: int = 16, epochs: int = 10, swarm: int = 100, rate: float = 0.1, seed: int = 0
) -> NetworkContest:
    """Train a network with one hidden layer by consensus-based optimisation, and by SGD for its price.

    Parameters
    ----------
    hidden : int
        Units of the hidden layer, tanh.
    epochs : int
        Of the swarm.
    swarm : int
        Particles, a multiple of 10.
    rate : float
        Learning rate of SGD.
    seed : int
        Of the network that SGD starts from, of the swarm's start and noise, and of both orders of the data.

    Raises
    ------
    ValueError
        If a number is out of range.

    Notes
    -----
    Cost: ``2 * epochs * swarm`` forward passes over the 1437 digits, half of them as gradients.
    """
    check_count("hidden", hidden)
    data = digits()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, hidden), nn.Tanh(), nn.Linear(hidden, 10))
    problem = Problem(model.eval(), nn.CrossEntropyLoss(), data.batches("train", 512), name="digits")
    by_swarm = train_by_consensus(problem, epochs=epochs, particles=swarm, seed=seed)
    by_sgd = train_by_sgd(problem, passes=float(epochs * swarm), rate=rate, seed=seed)
    inputs, labels = data.test
    held_out = problem.with_data([(inputs, labels)])
    right = [
        int((held_out.logits(each.parameters).argmax(-1) == labels).sum()) for each in (by_swarm, by_sgd)
    ]
    return NetworkContest(
        parameters=problem.num_parameters,
        trainings=(by_swarm, by_sgd),
        right=(right[0], right[1]),
        held_out=len(labels),
        interrupted=by_swarm.interrupted or by_sgd.interrupted,
    )
