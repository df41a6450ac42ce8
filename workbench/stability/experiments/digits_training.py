"""Short trainings of digit classifiers that an experiment stops where it likes."""

import itertools
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import nn

from workbench.problem import Problem
from workbench.problems.datasets import Dataset
from workbench.training import Minibatches


def train_steps(
    model: nn.Module, data: Dataset, *, rate: float, batch_size: int, seed: int, temperature: float = 1.0
) -> Iterator[float]:
    """Train by Adam on the training split, one step for each item taken: the minibatch's loss before it."""
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    passes = itertools.repeat(Minibatches(*data.train, batch_size, seed=seed))
    for inputs, targets in itertools.chain.from_iterable(passes):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs) / temperature, targets)
        loss.backward()
        optimizer.step()
        yield loss.item()


def problem_of(model: nn.Module, data: Dataset, examples: int, temperature: float = 1.0) -> Problem:
    """The cross entropy of the logits over a temperature, over the first training examples, in eval mode."""
    inputs, targets = data.train
    return Problem(
        model.eval(),
        nn.CrossEntropyLoss(),
        (inputs[:examples], targets[:examples]),
        forward=lambda network, batch: network(batch[0]) / temperature,
    )
