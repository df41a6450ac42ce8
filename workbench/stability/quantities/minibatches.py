"""Random minibatches of a problem's examples, the same at the same step of a training."""

from collections.abc import Iterator

import torch

from workbench.batches import Batch, concatenate, count_examples, slice_batch
from workbench.choices import check_count
from workbench.problem import Problem
from workbench.random_vectors import generator


def check_minibatches(problem: Problem, size: int, count: int, *, least: int = 1) -> None:
    """Refuse sizes that the problem's data does not have, and losses that are not made of examples'.

    Raises
    ------
    ValueError
        If there are too few examples or batches, or examples cannot be taken out of their batches.
    """
    if problem.weighting.sums:
        raise ValueError(
            "the loss adds up over the data, so a minibatch's is not an estimate of it: use a mean"
        )
    check_count("size", size, 1, problem.num_examples - 1)
    check_count("batches", count, least)
    problem.subset(torch.tensor([0]))


def minibatches(problem: Problem, size: int, count: int, seed: int) -> Iterator[Batch]:
    """Yield batches of ``size`` examples, each drawn without replacement; all data is held in memory."""
    source = generator(seed)
    everything = concatenate([batch for batch, _ in problem.batches()])
    examples = count_examples(everything)
    for _ in range(count):
        chosen = torch.randperm(examples, generator=source)[:size].to(problem.device)
        yield slice_batch(everything, examples, chosen)
