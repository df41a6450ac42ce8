"""Rows that are drawn one by one do not depend on how many are drawn together."""

import torch

from workbench.random_vectors import filled_rows, generator


def test_rows_are_the_same_in_any_batches() -> None:
    def draw(counts: list[int]) -> torch.Tensor:
        random = generator(3)
        parts = [
            filled_rows((n, 2, 3), lambda row: row.normal_(generator=random), torch.float64) for n in counts
        ]
        return torch.cat(parts)

    assert draw([5]).dtype == torch.float64
    assert torch.equal(draw([5]), draw([1, 3, 1]))
    assert not torch.equal(draw([5])[0], draw([5])[1])
