"""A second look at an operator in float64, where rounding hides nothing."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import torch

from workbench.batches import Batch, move

if TYPE_CHECKING:
    from workbench.curvature.operators.problem_operator import ProblemOperator

Operator = TypeVar("Operator", bound="ProblemOperator")
Found = TypeVar("Found")


class NoFloat64(Exception):
    """The problem cannot be computed in float64, e.g. since it has a kernel for float32 alone."""


def in_float64(operator: Operator, batch: Batch, look: Callable[[Operator, Batch], Found]) -> Found:
    """Return ``look(operator, batch)`` on copies of both in float64.

    Raises
    ------
    NoFloat64
        With the reason, in one line.
    """
    try:
        copy = operator.of(operator.problem.to(dtype=torch.float64))
        return look(copy, move(batch, None, torch.float64))
    except (RuntimeError, TypeError, ValueError, NotImplementedError) as error:
        raise NoFloat64(str(error).partition("\n")[0]) from error
