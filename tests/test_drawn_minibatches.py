"""Minibatches of random examples against the examples that they are drawn from."""

from collections import UserDict

import torch
from torch import nn

import workbench as wb
from workbench.minibatches import join_examples, minibatches


def test_mappings_that_torch_does_not_know_are_joined_whole() -> None:
    x, y = torch.randn(9, 4), torch.arange(9) % 3
    parts = (slice(0, 5), slice(5, 9))
    problem = wb.Problem(
        nn.Linear(4, 3),
        nn.CrossEntropyLoss(),
        [UserDict(x=x[part], more=[y[part]]) for part in parts],
        forward=lambda model, batch: model(batch["x"]),
        targets=lambda batch: batch["more"][0],
    )
    joined = join_examples(problem)
    assert isinstance(joined, UserDict)
    assert torch.equal(joined["x"], x)
    assert torch.equal(joined["more"][0], y)
    (drawn,) = minibatches(problem, 8, 1, seed=0)
    assert len({tuple(row.tolist()) for row in drawn["x"]}) == 8
    subset, _ = next(problem.subset(torch.tensor([1, 7])).batches())
    assert torch.equal(subset["x"], x[[1, 7]])
