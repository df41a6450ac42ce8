"""Two tables with the same columns as one figure: each column over the first, one run upon the other."""

import math
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

COLORS = {"A": "#0072b2", "B": "#d55e00"}  # Okabe and Ito: told apart by everyone, and on paper
_PANELS = 8
_POINTS = 2000  # of a curve; more cannot be told apart on a page
_HEIGHT = 300  # pixels of a panel
_DECADES = 8  # that a logarithmic axis shows


def overlay(a: "pd.DataFrame", b: "pd.DataFrame") -> tuple[dict[str, Any] | None, str]:
    """Return a plotly figure (None if there is nothing to draw) and what it leaves out, in words."""
    columns = [name for name in _numeric(a) if name in _numeric(b)]
    if not columns or a.columns[0] != b.columns[0]:
        return None, "The two have no number in common to draw."
    over = str(a.columns[0])
    drawn = [name for name in columns if name != over] or columns
    left_out = drawn[_PANELS:]
    frames = {"A": a, "B": b}
    data, layout = [], _layout(len(drawn[:_PANELS]))
    for panel, name in enumerate(drawn[:_PANELS], start=1):
        data += [_curve(letter, frames[letter], over, name, panel) for letter in frames]
        layout |= _axes(frames, over, name, panel, len(drawn[:_PANELS]))
    note = f"Not drawn: {', '.join(left_out)}." if left_out else ""
    return {"data": data, "layout": layout}, note


def _numeric(frame: "pd.DataFrame") -> list[str]:
    import pandas as pd

    return [
        str(name)
        for name, column in frame.items()
        if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    ]


def _layout(panels: int) -> dict[str, Any]:
    return {
        "height": 80 + _HEIGHT * panels,
        "margin": {"l": 70, "r": 20, "t": 40, "b": 50},
        "legend": {"orientation": "h", "y": 1.0, "yanchor": "bottom"},
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "grid": {"rows": panels, "columns": 1, "pattern": "independent"},
    }


def _curve(letter: str, frame: "pd.DataFrame", over: str, name: str, panel: int) -> dict[str, Any]:
    step = max(1, math.ceil(len(frame) / _POINTS))
    thin = frame.iloc[::step]
    x = _numbers(thin[over]) if over in _numeric(frame) and over != name else list(range(0, len(frame), step))
    steady = all(p is not None and q is not None and p <= q for p, q in pairwise(x))
    return {
        "type": "scatter",
        "mode": "lines+markers" if steady and len(x) <= 50 else "lines" if steady else "markers",
        "name": letter,
        "legendgroup": letter,
        "showlegend": panel == 1,
        "x": x,
        "y": _numbers(thin[name]),
        "xaxis": f"x{panel}",
        "yaxis": f"y{panel}",
        "line": {"color": COLORS[letter], "dash": "solid" if letter == "A" else "dash", "width": 2},
        "marker": {"color": COLORS[letter], "symbol": "circle" if letter == "A" else "cross", "size": 7},
    }


def _axes(frames: "dict[str, pd.DataFrame]", over: str, name: str, panel: int, panels: int) -> dict[str, Any]:
    line = {"gridcolor": "#e5e5e5", "zerolinecolor": "#c0c0c0", "automargin": True}
    y = {**line, "title": {"text": _plain(name)}, **_scale(frames, name)}
    title = {"text": _plain(over)} if panel == panels else {"text": ""}
    return {f"xaxis{panel}": {**line, "title": title}, f"yaxis{panel}": y}


def _scale(frames: "dict[str, pd.DataFrame]", name: str) -> dict[str, Any]:
    """A logarithmic axis for what is never negative and whose top stands far above the middle."""
    values = [value for frame in frames.values() for value in _numbers(frame[name]) if value is not None]
    positive = [value for value in values if value > 0]
    if min(values, default=-1) < 0 or not positive or max(positive) < 100 * median(positive):
        return {}
    high = math.log10(max(positive))
    low = max(math.log10(min(positive)), high - _DECADES)
    return {"type": "log", "exponentformat": "power", "range": [low - 0.2, high + 0.2]}


def _numbers(column: Any) -> list[float | None]:
    values = (float(value) for value in column)
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in values]


def _plain(text: str) -> str:
    """Text that plotly does not read as markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("$", "&#36;")
