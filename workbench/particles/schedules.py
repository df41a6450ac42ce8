r"""``Schedule``: an :math:`\alpha` or a :math:`\sigma` that changes with the step."""

import math
from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import Any

from workbench.choices import check_count, check_number

_FUNCTION = "a function of the step"
Values = float | Callable[[int], float]


@dataclass(frozen=True)
class Schedule:
    r"""A value that is multiplied every few steps, or falls with the logarithm of their number.

    Attributes
    ----------
    start : float
        The value of the first steps.
    factor : float, optional
        What it is multiplied by; None: it falls as :math:`\text{start} / \log_2(2 + c)` with the number c of
        changes so far, as in the cooling of the paper's code.
    every : int
        Steps between changes.
    least, most : float
        Bounds of the value.

    Raises
    ------
    ValueError
        If a number is out of range.
    """

    start: float
    factor: float | None = None
    every: int = 1
    least: float = 0.0
    most: float = math.inf

    def __post_init__(self) -> None:
        check_count("every", self.every)
        for name in ("start", "factor", "least", "most"):
            if not (name == "factor" and self.factor is None):
                check_number(name, getattr(self, name), low=0)

    def __call__(self, step: int) -> float:
        """The value at a step, counted from 0."""
        changes = step // self.every
        if self.factor is None:
            value = self.start / math.log2(2 + changes)
        else:
            value = self.start * _power(self.factor, changes) if self.start else 0.0
        return min(max(value, self.least), self.most)


def _power(factor: float, changes: int) -> float:
    """Python raises where a power is too large for a number; the bounds of a schedule are there for that."""
    try:
        return factor**changes
    except OverflowError:
        return math.inf


def check_values(name: str, values: Any) -> None:
    """Refuse what is neither a number of at least 0 nor a function of the step.

    Raises
    ------
    TypeError
        If it is neither.
    ValueError
        If the number is negative or nan.
    """
    if not callable(values):
        check_number(name, values, low=0, other=" or a function of the step")


def value_at(name: str, values: Values, step: int) -> float:
    """The value at a step.

    Raises
    ------
    ValueError
        If it is negative or nan.
    """
    value = float(values(step)) if callable(values) else float(values)
    if not value >= 0:
        raise ValueError(f"{name} is {value} at step {step}: it must be at least 0")
    return value


def pack_values(values: Values) -> Any:
    """What a result keeps of it: a number, the fields of a ``Schedule``, or that it was a function."""
    if isinstance(values, Schedule):
        return astuple(values)
    return _FUNCTION if callable(values) else float(values)


def unpack_values(packed: Any) -> Any:
    """What was kept; None for a function of the step, which cannot be."""
    if packed == _FUNCTION:
        return None
    return Schedule(*packed) if isinstance(packed, tuple) else packed
