"""Random start vectors and probes that depend on a seed and on nothing else."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from workbench.choices import check_count

PROBES = ("rademacher", "gaussian")


def random_vectors(count: int, size: int, generator: torch.Generator, kind: str = "gaussian") -> Tensor:
    """Return independent random rows (count, size) in float64 on the CPU, of unit variance per entry.

    Rows come from the generator one by one, so more of them do not change the first ones.
    """
    rows = torch.empty(count, size, dtype=torch.float64, device="cpu")
    for row in rows:
        if kind == "rademacher":
            row.copy_(torch.randint(0, 2, (size,), generator=generator, device="cpu").mul_(2).sub_(1))
        else:
            row.normal_(generator=generator)
    return rows


def filled_rows(shape: Sequence[int], fill: Callable[[Tensor], object], dtype: torch.dtype) -> Tensor:
    """Return a tensor on the CPU whose rows ``fill`` draws in place, one by one.

    So it does not matter how many rows are drawn together, as long as they come in order.
    """
    rows = torch.empty(tuple(shape), dtype=dtype, device="cpu")
    for row in rows:
        fill(row)
    return rows


def generator(seed: int) -> torch.Generator:
    """Return a generator of its own, so that results depend on ``seed`` and on nothing else."""
    check_count("seed", seed, low=0)
    return torch.Generator(device="cpu").manual_seed(int(seed))
