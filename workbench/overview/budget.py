"""``Budget``: how much an overview may spend, and what that buys here."""

import dataclasses
import math
import re
import time
from collections.abc import Callable
from typing import Any

import torch

from workbench.batches import count_examples
from workbench.choices import check_number
from workbench.problem import Problem

_SECONDS = {"s": 1.0, "sec": 1.0, "min": 60.0, "h": 3600.0}
_ADVICE = "write a time such as '30s', '1min' or '10min', or a number of gradients over the data"
VECTORS = 60  # of vector work that go with a product: two orthogonalisations against some thirty others
_WITH_UPDATE = 1.5  # a step over its gradient
_FIRST = 64  # examples from which the time of a gradient is told
_TIMING = 0.3  # seconds that finding out how long something takes may take, or twice its time
_LEAST = 10.0  # seconds: pictures and the compilation of graphs take some of them


@dataclasses.dataclass(frozen=True)
class Budget:
    """What may be spent.

    Attributes
    ----------
    gradients : float
        In units of a gradient over the data.
    seconds : float
        Wall time; inf if gradients were given.
    """

    gradients: float
    seconds: float = math.inf

    def __str__(self) -> str:
        if math.isinf(self.seconds):
            return f"{self.gradients:g} gradients"
        return f"{self.seconds / 60:g} min" if self.seconds >= 60 else f"{self.seconds:g} s"


def read_budget(budget: Any) -> Budget:
    """Read a time, such as ``"1min"``, or a number of gradients, also as text.

    Raises
    ------
    ValueError, TypeError
        If it is neither, or too little to measure anything.
    """
    if not isinstance(budget, str):
        check_number("budget", budget, above=0, below=math.inf, other=f"; {_ADVICE}")
        return Budget(float(budget))
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)\s*", budget.lower())
    if match is not None and not match[2]:
        return read_budget(float(match[1]))
    unit = _SECONDS.get(match[2]) if match else None
    if match is None or unit is None:
        raise ValueError(f"budget={budget!r} cannot be read: {_ADVICE}")
    seconds = float(match[1]) * unit
    if seconds < _LEAST:
        raise ValueError(f"budget={budget!r} is too short: give at least {_LEAST:g} s")
    return Budget(math.nan, seconds)


@dataclasses.dataclass(frozen=True)
class Prices:
    """What things cost here, in gradients over the data.

    Attributes
    ----------
    forward : float
        A loss over the data.
    step : float
        A step of training on a minibatch.
    product : float
        Of the Hessian with a vector.
    vector : float
        Adding to a vector as long as the parameters, and an inner product.
    seconds : float
        How long a gradient takes; nan if nobody measured it.
    """

    forward: float
    step: float
    product: float
    vector: float = 0.0
    seconds: float = math.nan


def nominal_prices(problem: Problem, batch_size: int) -> Prices:
    """Prices by the count of examples: what a budget of gradients is kept by."""
    return Prices(forward=1 / 3, step=batch_size / problem.num_examples, product=2.0)


def measured_prices(problem: Problem, batch_size: int) -> Prices:
    """Prices by the clock, at the cost of some gradients: what a budget of time is kept by.

    A small batch costs more than its share of the examples, and a product, too: what comes after it, against
    all vectors so far, may take longer than itself.
    """
    problem.gradient()  # the first one of a process takes longer than any other
    gradient = _seconds(problem.gradient)
    forward = _seconds(problem.loss_at)
    vector = seconds_of_vector(problem)
    return Prices(
        forward=forward / gradient,
        step=max(seconds_of_step(problem, batch_size) / gradient, batch_size / problem.num_examples),
        product=2 + VECTORS * vector / gradient,
        vector=vector / gradient,
        seconds=gradient,
    )


def seconds_of_vector(problem: Problem) -> float:
    """How long it takes to add to a vector as long as the parameters, and to take an inner product."""
    vector = torch.ones(problem.num_parameters, dtype=problem.dtype, device=problem.device)
    return _seconds(lambda: vector.add_(vector, alpha=-0.5) @ vector)


def seconds_of_step(problem: Problem, batch_size: int) -> float:
    """Roughly how long a step of training takes: a gradient of a minibatch, its draw, and the update."""
    return _WITH_UPDATE * _batch_seconds(problem, batch_size)


def seconds_of_gradient(problem: Problem) -> float:
    """Roughly how long a gradient over all the data takes, from one over its first examples."""
    examples = count_examples(problem.small_batch(_FIRST))
    return _batch_seconds(problem, _FIRST) * problem.num_examples / examples


def _batch_seconds(problem: Problem, examples: int) -> float:
    batch, parameters = problem.small_batch(examples), problem.parameters()
    problem.batch_gradient(parameters, batch)  # the first one takes longer
    return _seconds(lambda: problem.batch_gradient(parameters, batch))


def _seconds(work: Callable[[], object]) -> float:
    """The shortest of several times, on which others that use the machine have the least influence."""
    taken: list[float] = []
    while len(taken) < 2 or (len(taken) < 10 and sum(taken) < _TIMING):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return max(min(taken), 1e-6)
