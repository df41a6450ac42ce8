"""What a training with the gradient over all data is expected to take."""

import time

from workbench.explore.view import Cost
from workbench.problem import Problem

_VECTORS = 64  # as long as the parameters: copies of them, and the search for an eigenvector
_TIMED = 5  # gradients; the quickest counts, since a busy machine can stall any one of them


def training_cost(problem: Problem, gradients: float) -> Cost:
    """Cost of a training and its measurements, by their gradients over all data, a few of which are timed."""
    problem.gradient()  # the first one also plans the pass
    seconds = min(_gradient_seconds(problem) for _ in range(_TIMED))
    return Cost(gradients * seconds, _VECTORS * problem.num_parameters * problem.dtype.itemsize)


def _gradient_seconds(problem: Problem) -> float:
    started = time.monotonic()
    problem.gradient()
    return time.monotonic() - started
