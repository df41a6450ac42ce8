"""Random minibatches of a problem's examples, the same at the same step of a training."""

from collections.abc import Iterable, Iterator

import torch

from workbench.batches import Batch, concatenate, count_examples, slice_batch, tensors
from workbench.choices import check_count
from workbench.problem import Problem
from workbench.random_vectors import generator


def check_minibatches(name: str, problem: Problem, size: int, count: int, *, least: int = 1) -> None:
    """Refuse sizes that the problem's data does not have, and losses that are not made of examples'.

    Parameters
    ----------
    name : str
        Of the quantity that asks.
    problem : Problem
    size, count : int
        Examples of a batch, and batches.
    least : int
        Batches that are needed.

    Raises
    ------
    ValueError
        If there are too few examples or batches, or examples cannot be taken out of their batches.
    """
    if problem.weighting.sums:
        raise ValueError(
            f"{name}: the loss adds up over the data, so a minibatch's is not an estimate of it: use a mean"
        )
    if problem.num_examples < 2:
        raise ValueError(
            f"{name} takes minibatches of the examples, and there is one only: give the problem more"
        )
    check_count(f"{name}: size", size, 1, problem.num_examples - 1)
    check_count(f"{name}: batches", count, least)
    problem.subset(torch.tensor([0]))


def fitting_size(problem: Problem, usual: int) -> int:
    """The usual size of a minibatch, or all examples but one if there are not as many."""
    return min(usual, problem.num_examples - 1)


def minibatches(problem: Problem, size: int, count: int, seed: int) -> Iterator[Batch]:
    """Yield batches of ``size`` examples, each drawn without replacement; all data is held in memory."""
    yield from draw_batches(join_examples(problem), size, count, seed)


def join_examples(problem: Problem) -> Batch:
    """Return all examples as one batch, to draw from again and again. Costs a copy of the data.

    Raises
    ------
    ValueError
        If the batches cannot be joined.
    """
    batches = [batch for batch, _ in problem.batches()]
    if len(batches) == 1:
        return batches[0]
    reason = why_not_joined(batches)
    if reason:
        raise ValueError(f"{problem.name}: {reason}")
    joined = concatenate(batches)
    assert count_examples(joined) == sum(map(count_examples, batches))
    return joined


def why_not_joined(batches: Iterable[Batch]) -> str:
    """Say why several batches cannot be made one; nothing if they can."""
    shapes, shared = set(), False
    for batch in batches:
        count, found = count_examples(batch), tensors(batch)
        shapes.add(tuple(tensor.shape[1:] for tensor in found))
        shared |= any(tensor.shape[:1] != (count,) for tensor in found)
    if shared:
        return "batches hold tensors without a row for each example, which cannot be joined"
    return "batches of different shapes cannot be joined: pad them to one" if len(shapes) > 1 else ""


def draw_batches(joined: Batch, size: int, count: int, seed: int) -> Iterator[Batch]:
    """Yield batches of ``size`` of the joined examples, each drawn without replacement."""
    source = generator(seed)
    examples, device = count_examples(joined), tensors(joined)[0].device
    for _ in range(count):
        chosen = torch.randperm(examples, generator=source)[:size].to(device)
        yield slice_batch(joined, examples, chosen)
