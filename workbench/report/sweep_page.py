"""The page of a sweep: its figures over the grid and a table with a link to each run."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from workbench.report.folder import PAGE
from workbench.report.page import write_page
from workbench.report.versions import machine, versions

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from workbench.report.sweep import Sweep, SweptRun

_PANELS = 24  # more recorded figures than this are in the table only
_PANEL_HEIGHT = 280  # pixels
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")  # Okabe and Ito
_SYMBOLS = ("circle", "square", "diamond", "cross", "x", "triangle-up", "star")

_TABLE = Environment(autoescape=True).from_string(
    """<table class="dataframe">
<thead><tr>{% for name in header %}<th scope="col">{{ name }}</th>{% endfor %}</tr></thead>
<tbody>
{% for link, cells in rows %}<tr><th scope="row">{% if link %}<a href="{{ link }}">{{ cells[0] }}</a>
{% else %}{{ cells[0] }}{% endif %}</th>{% for cell in cells[1:] %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</tbody>
</table>"""
)


def write_sweep_page(sweep: "Sweep", path: Path) -> None:
    """Write the page of a sweep; its links are relative to its folder."""
    header, rows = sweep.table()
    links = [
        f"{run.name}/{PAGE}" if (sweep.folder / run.name / PAGE).exists() else None for run in sweep.runs
    ]
    runs = _TABLE.render(header=header, rows=list(zip(links, rows, strict=True)))
    cells = [new_markdown_cell("## Runs"), _shown({"text/html": runs})]
    if figures := _numbers(sweep):
        drawn = json.loads(draw(sweep).to_json())
        more = [f"{len(figures) - _PANELS} more are in the table."] if len(figures) > _PANELS else []
        cells = [
            new_markdown_cell("\n\n".join(["## Recorded figures over the grid", *more])),
            _shown({"application/vnd.plotly.v1+json": drawn}),
            *cells,
        ]
    good = all(run.status == "ok" for run in sweep.runs)
    write_page(
        new_notebook(cells=cells),
        path,
        title=f"Sweep: {sweep.notebook.title}",
        parameters=_parameters(sweep),
        status="ok" if good else sweep.summary().partition(": ")[2],
        details={
            "notebook": sweep.notebook.name,
            "runs": sweep.summary(),
            "versions": ", ".join(f"{name} {version}" for name, version in versions().items()),
            "machine": machine(),
        },
    )


def draw(sweep: "Sweep") -> "go.Figure":
    """Draw recorded numbers over the grid: a panel for each, a line for each combination of the others."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    figures = _numbers(sweep)[:_PANELS]
    axis, *others = sweep.grid
    if not figures:
        return go.Figure()
    drawn = make_subplots(rows=len(figures), cols=1, shared_xaxes=True, vertical_spacing=0.1 / len(figures))
    for line, (name, runs) in enumerate(_lines(sweep, others).items()):
        style = {"color": _COLORS[line % len(_COLORS)], "symbol": _SYMBOLS[line % len(_SYMBOLS)], "size": 8}
        for row, figure in enumerate(figures, start=1):
            known = [run for run in runs if figure in run.figures]
            trace = go.Scatter(
                x=[_plain(run.parameters[axis]) for run in known],
                y=[run.figures[figure] for run in known],
                mode="lines+markers",
                marker=style,
                name=name,
                legendgroup=name,
                showlegend=bool(others) and row == 1,
            )
            drawn.add_trace(trace, row=row, col=1)
    for row, figure in enumerate(figures, start=1):
        drawn.update_yaxes(title_text=figure, row=row, col=1)
    drawn.update_xaxes(type=_scale(sweep.grid[axis]))
    drawn.update_xaxes(title_text=axis, row=len(figures), col=1)
    drawn.update_layout(template="plotly_white", height=_PANEL_HEIGHT * len(figures) + 80, margin={"t": 30})
    return drawn


def _lines(sweep: "Sweep", others: Sequence[str]) -> "dict[str, list[SweptRun]]":
    """Runs that differ only in the parameter of the axis, by what they have in common."""
    lines: dict[str, list[SweptRun]] = {}
    for run in sweep.runs:
        name = ", ".join(f"{other} = {_plain(run.parameters[other])}" for other in others)
        lines.setdefault(_escaped(name), []).append(run)
    return lines


def _numbers(sweep: "Sweep") -> list[str]:
    """Names of the figures that are numbers in every run that recorded them."""
    return [
        name
        for name in sweep.figure_columns()
        if all(
            isinstance(run.figures[name], int | float) and not isinstance(run.figures[name], bool)
            for run in sweep.runs
            if name in run.figures
        )
    ]


def _scale(values: Sequence[Any]) -> str:
    """``"log"`` for positive numbers that span two decades, ``"linear"`` for others, else ``"category"``."""
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return "category"
    return "log" if min(values) > 0 and math.log10(max(values) / min(values)) >= 2 else "linear"


def _parameters(sweep: "Sweep") -> list[tuple[str, str, str]]:
    first = sweep.runs[0].parameters
    return [
        (each.name, ", ".join(map(each.text, sweep.grid.get(each.name, [first[each.name]]))), each.meaning)
        for each in sweep.notebook.parameters
    ]


def _shown(data: dict[str, Any]) -> Any:
    return new_code_cell(outputs=[new_output("display_data", data=data)], execution_count=1)


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else _escaped(str(value))


def _escaped(text: str) -> str:
    """Plotly reads a little HTML in its texts."""
    return text.replace("&", "&amp;").replace("<", "&lt;")
