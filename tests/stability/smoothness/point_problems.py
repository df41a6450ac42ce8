"""Problems whose parameters are the variables of a function."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

import workbench as wb


class Variables(nn.Module):
    """Returns its parameter, whatever the input."""

    def __init__(self, start: Sequence[float]) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.tensor(start, dtype=torch.float64))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.x[None]


def point_problem(start: Sequence[float], function: Callable[[Tensor], Tensor]) -> wb.Problem:
    """Minimise a function of a vector."""
    nothing = torch.zeros(1, 1, dtype=torch.float64)
    return wb.Problem(Variables(start), lambda outputs, _: function(outputs[0]), [(nothing, nothing)])


def cubic(start: Sequence[float], rate: float = 1.0) -> wb.Problem:
    """The sum of rate · |x|³ / 6."""
    return point_problem(start, lambda x: rate / 6 * x.abs().pow(3).sum())


def quadratic(start: Sequence[float]) -> wb.Problem:
    """Half the sum of k · x_k², k from 1."""
    scales = torch.arange(1.0, 1.0 + len(start), dtype=torch.float64)
    return point_problem(start, lambda x: (scales * x * x).sum() / 2)
