"""``Moment`` and ``Quantity``: what is measured while a training runs, and when in it."""

import abc
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from workbench.problem import Problem

T = TypeVar("T")


class Reading(NamedTuple):
    """A number and how far it may be off.

    Attributes
    ----------
    value : float
    error : float
        Standard error of an estimate, residual norm of an eigenvalue, 0 of what is exact up to rounding, nan
        if nobody knows.
    """

    value: float
    error: float = 0.0


Readings = Reading | float | Mapping[str, Reading | float]


class Moment:
    """One step of an optimizer: where it began, what it did, and what quantities share.

    Attributes
    ----------
    problem : Problem
        Its model holds the parameters from which the step was taken, in eval mode.
    optimizer : object
        With ``state`` as the step left it and ``param_groups`` with the settings of the step.
    step : int
        Steps that were taken before this one.
    update : Tensor (n,)
        What the step added to the selected parameters, in float32 or wider.
    """

    def __init__(self, problem: Problem, optimizer: Any, step: int, update: Tensor) -> None:
        self.problem, self.optimizer = problem, optimizer
        self.step, self.update = step, update
        self._shared: dict[Callable[[Problem], Any], Any] = {}

    def shared(self, function: Callable[[Problem], T]) -> T:
        """Return ``function(problem)``, computed once for all the quantities of this moment."""
        if function not in self._shared:
            self._shared[function] = function(self.problem)
        return self._shared[function]

    @property
    def gradient(self) -> Tensor:
        """Gradient (n,) of the problem's loss where the step began; one gradient for all quantities."""
        return self.shared(Problem.gradient)

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return the model's own selected parameters by name: the keys of ``optimizer.state``."""
        held = dict(self.problem.model.named_parameters())
        return {part.name: held[part.name] for part in self.problem.layout}


class Quantity(abc.ABC):
    """Something to be measured while a training runs: a subclass has a name, a cost and :meth:`measure`.

    Attributes
    ----------
    name : str
        Under which it is recorded.
    cost : float
        Gradients (a forward and a backward pass over the problem's data) that a measurement is expected to
        take, if it shares nothing with others; known at the latest after :meth:`prepare`.
    every : int, optional
        Steps from one measurement to the next; by default the recorder's.
    """

    name: str
    cost: float
    every: int | None = None

    def prepare(self, problem: Problem, optimizer: Any) -> None:  # noqa: B027 - most need nothing
        """Refuse what cannot be measured, with a ValueError, before the training begins."""

    @abc.abstractmethod
    def measure(self, moment: Moment) -> Readings:
        """Measure: a number, a :class:`Reading`, or several of them by name.

        Names tell the parts of a quantity apart; that of its main number is ``""``. Neither the model nor the
        optimizer may be changed.
        """


def innermost(optimizer: Any) -> Any:
    """Return the optimizer that others are wrapped around, each with the next as its ``optimizer``."""
    while isinstance(inner := getattr(optimizer, "optimizer", None), Optimizer):
        optimizer = inner
    return optimizer


def as_readings(name: str, measured: Any) -> dict[str, Reading]:
    """Read what :meth:`Quantity.measure` returned.

    Raises
    ------
    TypeError
        If it holds anything but numbers.
    """
    parts = measured if isinstance(measured, Mapping) else {"": measured}
    return {str(part): _as_reading(name, value) for part, value in parts.items()}


def _as_reading(name: str, value: Any) -> Reading:
    numbers = tuple(value) if isinstance(value, tuple) else (value,)
    try:
        return Reading(*map(float, numbers))
    except (TypeError, ValueError) as error:
        kind = type(value).__name__
        raise TypeError(f"quantity {name!r} measured a {kind}: it must be a number or a Reading") from error


def norm(vector: Tensor) -> float:
    """Euclidean norm, summed in float64."""
    return torch.linalg.vector_norm(vector, dtype=torch.float64).item()
