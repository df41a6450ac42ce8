"""Bytes at the peak, of computations whose memory is known."""

import pytest
import torch

from workbench.adaptation.peak_memory import peak_bytes

UNIT = 4 * 1000


def test_the_peak_counts_what_is_held_at_once():
    def both() -> torch.Tensor:
        one, two = torch.empty(1000), torch.empty(2000)
        return one[:1] + two[:1]

    def in_turn() -> None:
        torch.empty(1000)
        torch.empty(2000)

    assert peak_bytes(both) == pytest.approx(3 * UNIT, abs=16)
    assert peak_bytes(in_turn) == 2 * UNIT


def test_what_was_there_before_does_not_count_and_the_result_does():
    given = torch.ones(1000)
    assert peak_bytes(lambda: given + 1) == pytest.approx(UNIT, abs=16)
    assert peak_bytes(lambda: given.add_(1)) < 16


def test_memory_inside_an_operation_is_seen():
    """A norm of a product in one call of einsum forms the product."""
    a, b = torch.ones(50, 3), torch.ones(3, 40)
    assert peak_bytes(lambda: torch.linalg.multi_dot([a, b, torch.ones(40, 1)])) >= 4 * 50
    assert peak_bytes(lambda: (a @ b).norm()) == pytest.approx(4 * 50 * 40, abs=16)


def test_an_error_passes_and_ends_the_count():
    with pytest.raises(RuntimeError):
        peak_bytes(lambda: torch.ones(2) @ torch.ones(3))
    assert peak_bytes(lambda: torch.empty(1000)) == UNIT
