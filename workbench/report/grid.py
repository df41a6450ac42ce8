"""The grid of a sweep: which parameters take which values, checked before anything starts."""

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from workbench.parameters import Notebook

_OPEN, _CLOSE = "[{", "]}"


def read_grid(
    notebook: Notebook,
    grid: Mapping[str, str | Sequence[Any]],
    values: Mapping[str, Any],
    preset: str | None,
) -> dict[str, list[Any]]:
    """Check every value of a grid.

    Parameters
    ----------
    notebook : Notebook
    grid : mapping of str to str or sequence
        The values of each swept parameter: a sequence, or text in which commas separate them (those inside
        brackets do not: ``"[64,64],[128]"`` are two lists).
    values : mapping of str to Any
        The values of parameters that are not swept.
    preset : str or None

    Returns
    -------
    dict
        The typed values of each swept parameter, in the order of the grid.

    Raises
    ------
    ValueError
        With everything that is wrong in one line.
    """
    if not grid:
        raise ValueError("a sweep needs at least one parameter and its values")
    if both := grid.keys() & values.keys():
        raise ValueError(f"set and swept at once: {', '.join(sorted(both))}")
    notebook.validate(values, preset)
    wrong: list[str] = []
    typed: dict[str, list[Any]] = {}
    for name, given in grid.items():
        typed[name] = []
        for value in split_values(given) if isinstance(given, str) else given:
            try:
                typed[name].append(notebook.validate({**values, name: value}, preset)[name])
            except ValueError as error:
                wrong.append(str(error))
        wrong += _not_distinct(name, typed[name]) if typed[name] or wrong else [f"{name} has no values"]
    if wrong:
        raise ValueError("; ".join(dict.fromkeys(wrong)))
    return typed


def points(grid: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Return every combination of the values; the last parameter changes fastest."""
    return [dict(zip(grid, combination, strict=True)) for combination in itertools.product(*grid.values())]


def split_values(text: str) -> list[str]:
    """Split at the commas that stand outside brackets and braces."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in _OPEN) - (character in _CLOSE)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def _not_distinct(name: str, values: list[Any]) -> list[str]:
    texts = [json.dumps(value, sort_keys=True) for value in values]
    return [f"{name} has the value {text} twice" for text in dict.fromkeys(texts) if texts.count(text) > 1]
