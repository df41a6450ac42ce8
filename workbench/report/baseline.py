"""Baselines: the figures and the picture of a notebook when last accepted, and what differs from them now."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench import paths
from workbench.report.folder import read_json, write_json, write_whole


@dataclass(frozen=True)
class Difference:
    """One recorded figure, or one parameter of the run, then and now.

    Attributes
    ----------
    name : str
    baseline, now : bool, int, float, str or None
        None where there is none.
    relative : float or None
        ``|now - baseline| / |baseline|`` of two numbers; None if the baseline is zero.
    tolerance : str
        The baseline's, e.g. ``"rtol 0.02"``.
    verdict : str
        ``"ok"``, ``"drift"``, ``"missing"``, ``"new"``, ``"tolerance changed to …"`` or
        ``"parameter changed"``; all but the first count as drift.
    """

    name: str
    baseline: Any
    now: Any
    relative: float | None
    tolerance: str
    verdict: str


def read_baseline(name: str) -> dict[str, Any]:
    """Return the accepted parameters and figures of a notebook; empty ones if none were accepted yet.

    Raises
    ------
    ValueError
        If there is a file, but not one that :func:`write_baseline` wrote.
    """
    path = _path(name, "json")
    if not path.exists():
        return {"parameters": None, "figures": {}}
    try:
        baseline = read_json(path)
        known = {"parameters", "figures"} <= baseline.keys()
    except (OSError, ValueError, AttributeError):
        known = False
    if not known:
        raise ValueError(f"{path} is not a baseline; remove it, then --update writes a new one")
    return baseline


def write_baseline(name: str, run: dict[str, Any], baseline: dict[str, Any]) -> None:
    """Accept what a run recorded, in place of a baseline.

    Figures that agree stay as they were: accepted again and again, they could creep, and their last digits
    would hide what did change.
    """
    then = baseline["figures"]
    agree = {row.name for row in compare(baseline, run) if row.verdict == "ok"}
    figures = {name: then[name] if name in agree else now for name, now in run["recorded"].items()}
    _path(name, "json").parent.mkdir(parents=True, exist_ok=True)
    write_json(_path(name, "json"), {"parameters": run["parameters"], "figures": figures})


def read_picture(name: str) -> bytes | None:
    """Return the accepted picture of a notebook, a PNG; None if there is none."""
    path = _path(name, "png")
    return path.read_bytes() if path.exists() else None


def write_picture(name: str, png: bytes | None) -> None:
    """Accept the picture of a run, beside the figures; None if it shows none."""
    if png is None:
        _path(name, "png").unlink(missing_ok=True)
    else:
        write_whole(_path(name, "png"), png)


def compare(baseline: dict[str, Any], run: dict[str, Any]) -> list[Difference]:
    """Compare a run with a baseline: one row per figure, then one per parameter that is not as it was."""
    then, now = baseline["figures"], run["recorded"]
    figures = [_figure(name, then.get(name), now.get(name)) for name in {**then, **now}]
    accepted, used = baseline["parameters"], run["parameters"]
    if accepted is None:
        return figures
    return figures + [
        Difference(name, accepted.get(name), used.get(name), None, "", "parameter changed")
        for name in {**accepted, **used}
        if accepted.get(name) != used.get(name) or (name in accepted) != (name in used)
    ]


def _figure(name: str, then: dict[str, Any] | None, now: dict[str, Any] | None) -> Difference:
    if then is None or now is None:
        figure = then or now or {}
        values = (then and then["value"], now and now["value"])
        return Difference(name, *values, None, _tolerance(figure), "new" if then is None else "missing")
    verdict = "ok" if _agree(then, now["value"]) else "drift"
    if verdict == "ok" and not _as_tight(then, now):
        verdict = f"tolerance changed to {_tolerance(now)}"
    relative = _relative(then["value"], now["value"])
    return Difference(name, then["value"], now["value"], relative, _tolerance(then), verdict)


def _agree(then: dict[str, Any], now: Any) -> bool:
    if _is_number(then["value"]) and _is_number(now):
        return abs(now - then["value"]) <= then["atol"] + then["rtol"] * abs(then["value"])
    return type(now) is type(then["value"]) and now == then["value"]


def _as_tight(then: dict[str, Any], now: dict[str, Any]) -> bool:
    """Whether the tolerances are the same; an absolute one to a factor of 2, as it may itself be measured."""
    is_close = then["atol"] / 2 <= now["atol"] <= 2 * then["atol"]
    return is_close and math.isclose(then["rtol"], now["rtol"])


def _relative(then: Any, now: Any) -> float | None:
    if _is_number(then) and _is_number(now) and then != 0:
        return abs(now - then) / abs(then)
    return None


def _tolerance(figure: dict[str, Any]) -> str:
    if not _is_number(figure["value"]):
        return "exact"
    atol = f", atol {figure['atol']:g}" if figure["atol"] else ""
    return f"rtol {figure['rtol']:g}{atol}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _path(name: str, ending: str) -> Path:
    return paths.baselines() / f"{name}.{ending}"
