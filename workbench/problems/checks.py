"""Checks of names and options; no torch in here."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any


def check_count(name: str, value: Any, *, minimum: int, multiple: int = 1) -> None:
    """Refuse anything but a whole number of at least ``minimum`` that ``multiple`` divides.

    Raises
    ------
    TypeError
        If ``value`` is not an int.
    ValueError
        If it is too small or not a multiple.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}={value!r} is a {type(value).__name__}, not a whole number")
    if value < minimum or value % multiple:
        kind = f"a multiple of {multiple}, " if multiple > 1 else ""
        raise ValueError(f"{name}={value} is not allowed: {kind}at least {minimum}")


def check_choice(name: str, value: Any, allowed: Iterable[str]) -> None:
    """Raise a ValueError with the near ones unless ``value`` is one of the allowed words."""
    allowed = tuple(allowed)
    if value not in allowed:
        raise ValueError(f"{name}={value!r} is not one of {', '.join(allowed)}{did_you_mean(value, allowed)}")


def did_you_mean(name: Any, allowed: Iterable[str]) -> str:
    """``"; did you mean …?"`` with the allowed names near ``name``, or nothing."""
    near = get_close_matches(str(name), list(allowed), n=3)
    return f"; did you mean {' or '.join(near)}?" if near else ""
