"""``record``: the figures that a notebook states, kept by report runs and held by ``workbench check``.

While a report runs, the runner names a folder in ``WORKBENCH_RUN``; figures go to
``recorded.json`` there and results to ``results/``. In a live notebook the figures are only printed back.
"""

import json
import math
import os
from pathlib import Path
from typing import Any

RUN_VARIABLE = "WORKBENCH_RUN"


def run_folder() -> Path | None:
    """Folder of the report run that this process belongs to; None in a live session."""
    folder = os.environ.get(RUN_VARIABLE)
    return Path(folder) if folder else None


def record(name: str, value: Any, *, rtol: float = 0.02, atol: float = 0.0) -> None:
    """State a figure of this notebook, or save a result with it.

    Parameters
    ----------
    name : str
        Letters, digits, ``_``, ``-`` and ``.``; unique within the notebook.
    value : float, int, bool, str or Result
        A figure is compared with the baseline by ``workbench check``: a number within
        ``atol + rtol * |baseline|``, anything else exactly. A :class:`~workbench.result.Result` is written to
        the run's ``results/`` as ``name.npz`` (whole) and ``name.parquet`` (its frame).
    rtol, atol : float
        Tolerances of the comparison.

    Raises
    ------
    ValueError
        If the name is not usable or was recorded before in this run.
    TypeError
        If the value is none of the above.
    """
    if not name or not all(character.isalnum() or character in "_-." for character in name):
        raise ValueError(f"cannot record under {name!r}: use letters, digits, '_', '-' and '.'")
    folder = run_folder()
    if hasattr(value, "frame") and hasattr(value, "save"):
        if folder is not None:
            value.save(folder / "results" / f"{name}.npz")
            value.frame().to_parquet(folder / "results" / f"{name}.parquet")
        return
    figure = {"value": _plain(name, value), "rtol": float(rtol), "atol": float(atol)}
    if folder is not None:
        _append(folder / "recorded.json", name, figure)


def recorded(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the figures recorded in a run folder, by name, in the order of recording."""
    path = folder / "recorded.json"
    return json.loads(path.read_text()) if path.exists() else {}


def _append(path: Path, name: str, figure: dict[str, Any]) -> None:
    figures = recorded(path.parent)
    if name in figures:
        raise ValueError(f"{name!r} was recorded before in this notebook; names are unique")
    figures[name] = figure
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(figures, indent=1))
    partial.replace(path)


def _plain(name: str, value: Any) -> bool | int | float | str:
    if hasattr(value, "item"):  # a NumPy scalar or a tensor with one element
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"cannot record {name!r}: its value is {value}")
    if isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"cannot record {name!r}: {type(value).__name__} is neither a number, text nor a result")
