"""What a training with the gradient over all data is expected to take."""

import time

from workbench.explore.view import Cost
from workbench.problem import Problem

_VECTORS = 64  # as long as the parameters: copies of them, and the search for an eigenvector


def training_cost(problem: Problem, gradients: float) -> Cost:
    """Cost of a training and its measurements, by their gradients over all data, one of which is timed."""
    problem.gradient()  # the first one also plans the pass
    started = time.monotonic()
    problem.gradient()
    seconds = time.monotonic() - started
    return Cost(gradients * seconds, _VECTORS * problem.num_parameters * problem.dtype.itemsize)
