"""Arguments that are checked in several places, with refusals in one line; no torch in here."""

import difflib
import math
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import Any


def suggestion(word: Any, known: Iterable[Any]) -> str:
    """``"; did you mean 'x'?"`` for the known name nearest to ``word``, or nothing."""
    near = difflib.get_close_matches(str(word), [each for each in known if isinstance(each, str)], n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def check_choice(name: str, value: Any, allowed: Sequence[str]) -> None:
    """Refuse a value that is not among the allowed words, with the nearest of them.

    Raises
    ------
    ValueError
        If it is not.
    """
    if value not in allowed:
        words = ", ".join(map(repr, allowed))
        raise ValueError(f"{name}={value!r} is not one of {words}{suggestion(value, allowed)}")


def check_count(name: str, value: Any, low: int = 1, high: int | None = None, *, multiple: int = 1) -> None:
    """Refuse what is not a whole number from ``low`` to ``high`` that ``multiple`` divides.

    Raises
    ------
    TypeError
        If it is not a whole number.
    ValueError
        If it is out of range or not a multiple.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name}={value!r} is a {type(value).__name__}, not a whole number")
    number = int(value)
    if number < low or (high is not None and number > high) or number % multiple:
        kind = f"a multiple of {multiple}, " if multiple > 1 else ""
        allowed = f"from {low} to {high}" if high is not None else f"at least {low}"
        raise ValueError(f"{name}={value} is out of range: it must be {kind}{allowed}")


def check_number(
    name: str,
    value: Any,
    *,
    low: float = -math.inf,
    above: float = -math.inf,
    below: float | None = None,
    other: str = "",
) -> None:
    """Refuse what is no real number of at least ``low``, above ``above`` and below ``below``; nan is none.

    ``below=math.inf`` asks for a finite number; ``other`` names what else is allowed.

    Raises
    ------
    TypeError
        If it is not a real number.
    ValueError
        If it is out of range.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name}={value!r} is a {type(value).__name__}: pass a number{other}")
    number = float(value)
    upper = math.inf if below is None else below
    if number >= low and (number > above or above == -math.inf) and (number < upper or below is None):
        return
    if math.isfinite(above) and math.isfinite(upper):
        allowed = f"between {above:g} and {upper:g}"
    else:
        bounds = [
            f"at least {low:g}" if low > above else "",
            "" if not math.isfinite(above) else f"above {above:g}" if above else "positive",
            "" if below is None else "finite" if math.isinf(upper) else f"below {upper:g}",
        ]
        allowed = " and ".join(filter(None, bounds))
    raise ValueError(f"{name}={value} is out of range: it must be {allowed}{other}")
