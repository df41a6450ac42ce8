"""The page of a sweep: its figures over the grid and a table with a link to each run."""

import json
import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench import paths
from workbench.report.document import packed_plotly, write_document
from workbench.report.folder import PAGE
from workbench.report.versions import machine, versions

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from workbench.report.sweep import Sweep, SweptRun

_PANELS = 24  # more recorded figures than this are in the table only
_PANEL_HEIGHT = 280  # pixels
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")  # Okabe and Ito
_SYMBOLS = ("circle", "square", "diamond", "cross", "x", "triangle-up", "star")


def write_sweep_page(sweep: "Sweep", path: Path) -> None:
    """Write the page of a sweep; its links are relative to the sweep's folder.

    Raises
    ------
    OSError
        If the page cannot be written.
    """
    numbers = _numbers(sweep)
    header, rows = sweep.table()
    write_document(
        path,
        "sweep.html.j2",
        title=sweep.notebook.title,
        good=all(run.status == "ok" for run in sweep.runs),
        verdict=sweep.summary(),
        parameters=_parameters(sweep),
        details={
            "again": _command(sweep),
            "versions": ", ".join(f"{name} {version}" for name, version in versions().items()),
            "machine": machine(),
        },
        figure=json.loads(draw(sweep).to_json()) if numbers else None,
        not_drawn=len(numbers[_PANELS:]),
        plotly=packed_plotly() if numbers else None,
        header=header,
        rows=[_row(sweep, run, cells) for run, cells in zip(sweep.runs, rows, strict=True)],
        errors=[(run.name, run.error) for run in sweep.runs if run.error],
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
        drawn.update_yaxes(title_text=_escaped(figure), row=row, col=1)
    drawn.update_xaxes(type=_scale(sweep.grid[axis]))
    drawn.update_xaxes(title_text=axis, row=len(figures), col=1)
    drawn.update_layout(template="plotly_white", height=_PANEL_HEIGHT * len(figures) + 80, margin={"t": 30})
    return drawn


def _lines(sweep: "Sweep", others: Sequence[str]) -> "dict[str, list[SweptRun]]":
    """Runs that differ only in the parameter of the axis, by what they have in common."""
    lines: dict[str, list[SweptRun]] = {}
    for run in sweep.runs:
        name = ", ".join(f"{other} = {run.parameters[other]}" for other in others)
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


def _row(sweep: "Sweep", run: "SweptRun", cells: list[str]) -> dict[str, Any]:
    status = 1 + len(sweep.grid)
    return {
        "name": run.name,
        "link": f"{run.name}/{PAGE}" if (sweep.folder / run.name / PAGE).exists() else None,
        "point": cells[1:status],
        "status": run.status,
        "error": run.error or "",
        "numbers": cells[status + 1 :],
    }


def _command(sweep: "Sweep") -> str:
    """Return the command that asks for the same sweep, quoted for a shell."""
    source = sweep.notebook.path
    words = ["workbench", "sweep", sweep.notebook.name if source.parent == paths.notebooks() else str(source)]
    first = sweep.runs[0].parameters
    for each in sweep.notebook.parameters:
        if each.name not in sweep.grid and first[each.name] != each.default:
            words += ["-p", each.name, each.text(first[each.name])]
    texts = {each.name: each.text for each in sweep.notebook.parameters}
    for name, values in sweep.grid.items():
        words += ["-g", name, ",".join(map(texts[name], values))]
    if sweep.preview:
        words.append("--preview")
    return shlex.join(words)


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else _escaped(str(value))


def _escaped(text: str) -> str:
    """Plotly reads a little HTML in its texts."""
    return text.replace("&", "&amp;").replace("<", "&lt;")
