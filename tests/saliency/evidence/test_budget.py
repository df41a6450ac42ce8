"""Rows at once: what the layers of one input hold, against what is counted by hand."""

import pytest
import torch
from torch import nn

from workbench.saliency.evidence.budget import rows_at_once

MODEL = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 64, 2)).eval()
INPUTS = torch.zeros(3, 1, 8, 8)
INPUT, HIDDEN = 64 * 4, 4 * 64 * 4  # bytes


def test_forward_counts_the_largest_layer_and_backward_all_outputs() -> None:
    largest = 2 * HIDDEN + 2 * INPUT  # what ReLU reads and writes, and two copies of the input
    assert rows_at_once(MODEL, INPUTS, 10 * largest) == 10
    assert rows_at_once(MODEL, INPUTS, 10 * largest - 1) == 9
    everything = 3 * HIDDEN + 2 * 8 + 2 * INPUT  # convolution, ReLU, flatten, and the logits twice
    assert rows_at_once(MODEL, INPUTS, 7 * everything, backward=True) == 7


def test_there_is_always_one_row_and_some_by_default() -> None:
    assert rows_at_once(MODEL, INPUTS, 1) == 1
    assert rows_at_once(MODEL, INPUTS) >= 16
    with pytest.raises(ValueError, match="cannot be read"):
        rows_at_once(MODEL, INPUTS, "much")


def test_no_hook_is_left_even_when_the_model_raises() -> None:
    broken = nn.Sequential(nn.Linear(8, 2), nn.Linear(3, 2))
    with pytest.raises(RuntimeError):
        rows_at_once(broken, INPUTS)
    for model in (MODEL, broken):
        assert not any(module._forward_hooks for module in model.modules())
