"""What a comparison of schedules asks of a problem, and the batches that all of them draw alike."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from workbench.random_vectors import generator


class Trained(NamedTuple):
    """What trainings ended with.

    Attributes
    ----------
    values : ndarray (3, settings, seeds)
        Loss on the training set, loss and accuracy on the held-out set.
    norms : ndarray (settings, seeds, T)
        Of the minibatch gradients: Euclidean for SGD, sums of absolute values for Adam.
    """

    values: np.ndarray
    norms: np.ndarray


class Trainable(Protocol):
    """A problem that can be trained with many schedules and seeds at once."""

    @property
    def name(self) -> str:
        """Of the problem."""

    @property
    def optimizer(self) -> str:
        """``"sgd"`` or ``"adam"``."""

    @property
    def base_rates(self) -> tuple[float, ...]:
        """Largest learning rates to choose from, in ascending order."""

    def train(self, rates: np.ndarray, seeds: Sequence[int]) -> Trained:
        """Train from the seeds' starts with learning rates (settings, seeds, T)."""


def batch_places(examples: int, size: int, steps: int, seeds: Sequence[int]) -> Tensor:
    """Places (seeds, T, size) of the examples in each batch: pass after pass in an order of the seed's own.

    A batch may hold the end of one pass and the beginning of the next.
    """
    passes = -(-steps * size // examples)
    orders = []
    for seed in seeds:
        random = generator(seed)
        order = torch.cat([torch.randperm(examples, generator=random) for _ in range(passes)])
        orders.append(order[: steps * size].reshape(steps, size))
    return torch.stack(orders)
