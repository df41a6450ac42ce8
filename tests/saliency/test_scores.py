"""Targets as they may be given, and scores with their derivatives."""

from typing import Any

import numpy as np
import pytest
import torch

from workbench.saliency.scores import extreme_targets, read_targets, target_scores

LOGITS = torch.tensor([[1.0, 3.0, 2.0], [0.5, -1.0, 0.0]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (None, [[1], [0]]),
        (2, [[2], [2]]),
        ([2, 1], [[2], [1]]),
        (np.array([2, 1]), [[2], [1]]),
        (torch.tensor([0, 1], dtype=torch.int32), [[0], [1]]),
        ([[0, 1], [2, 0]], [[0, 1], [2, 0]]),
    ],
)
def test_targets_become_one_row_per_input(target: Any, expected: list[list[int]]) -> None:
    found = read_targets(target, LOGITS)
    assert found.tolist() == expected
    assert found.dtype == torch.int64


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        (3, ValueError, "target=3 is out of range: classes are 0 to 2"),
        (-1, ValueError, "target=-1 is out of range"),
        ([1], ValueError, "shape"),
        ([[[1]], [[2]]], ValueError, "shape"),
        ([[], []], (ValueError, TypeError), "target"),
        (1.0, TypeError, "float32"),
        (True, TypeError, "bool"),
        ("cat", TypeError, "target='cat'"),
    ],
)
def test_other_targets_are_refused(target: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        read_targets(target, LOGITS)


def test_a_model_without_logits_is_refused() -> None:
    with pytest.raises(ValueError, match=r"returns \(2, 3, 1\), not logits"):
        read_targets(0, LOGITS[:, :, None])


@pytest.mark.parametrize("kind", ["logit", "probability", "loss"])
def test_scores_and_their_slopes(kind: str) -> None:
    logits = LOGITS.clone().requires_grad_()
    targets = torch.tensor([[0, 2], [1, 1]])
    p = LOGITS.softmax(dim=1)
    rows = torch.arange(2)[:, None]
    value = {"logit": LOGITS, "probability": p, "loss": p.log()}[kind][rows, targets]
    found = target_scores(logits, targets, kind)
    torch.testing.assert_close(found, value)
    slope = torch.autograd.grad(found[0, 1], logits)[0]
    one = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    expected = {"logit": one, "probability": p[0, 2] * (one - p[0]), "loss": one - p[0]}[kind]
    torch.testing.assert_close(slope, torch.stack([expected, torch.zeros_like(expected)]))


def test_scores_that_say_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="did you mean 'logit'"):
        target_scores(LOGITS, torch.zeros(2, 1, dtype=torch.long), "logits")
    with pytest.raises(ValueError, match="constant for a single logit"):
        target_scores(LOGITS[:, :1], torch.zeros(2, 1, dtype=torch.long), "probability")


def test_extremes_are_the_largest_and_the_smallest() -> None:
    assert extreme_targets(LOGITS).tolist() == [[1, 0], [0, 1]]


def test_the_shape_that_was_given_is_told() -> None:
    with pytest.raises(ValueError, match=r"target has shape \(2,\): for 3 inputs"):
        read_targets([0, 1], torch.zeros(3, 5))
