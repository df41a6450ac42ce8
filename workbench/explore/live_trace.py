"""``live``: a figure that follows a recorder in a training loop of one's own."""

import time
from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.colors import BLUE, GREEN, ORANGE, SKY, VERMILION
from workbench.explore.figure_data import as_list
from workbench.explore.live_figure import LiveFigure
from workbench.explore.style import styled
from workbench.recorder import Recorder
from workbench.trace import CURVATURES, THRESHOLD, Trace

_COLORS = (BLUE, VERMILION, GREEN, ORANGE, SKY)
_REDRAW_SECONDS = 0.5
_PANEL_PIXELS = 200


def live(recorder: Recorder) -> LiveFigure:
    """Return a figure that is redrawn while a training runs, twice a second at most::

        recorder = wb.Recorder(problem, optimizer, every=10)
        display(wb.explore.live(recorder))
        with recorder:
            for batch in batches:
                ...
                optimizer.step()
                recorder.step()

    Each quantity has a panel, with its errors as bars; the threshold of stability is a dashed line in that of
    the first curvature. The end of the ``with``, or ``recorder.close()``, draws the last rows.

    Parameters
    ----------
    recorder : Recorder
        What it has recorded already is drawn at once.

    Returns
    -------
    LiveFigure
        A widget. In a report, which nobody watches, show ``recorder.trace().plot()`` after the loop instead.

    Notes
    -----
    Cost: drawing holds up the training, by some milliseconds twice a second; the trace tells it as
    ``"listener_seconds"``, in its summary and in its overhead.
    """
    panels = _panels([quantity.name for quantity in recorder.quantities])
    figure = LiveFigure(_figure(panels))
    drawn = -_REDRAW_SECONDS

    def follow(recorder: Recorder) -> None:
        nonlocal drawn
        now = time.monotonic()
        if recorder.closed or now - drawn >= _REDRAW_SECONDS:
            _draw(figure, recorder.trace(), panels)
            drawn = now

    _draw(figure, recorder.trace(), panels)
    recorder.listeners.append(follow)
    return figure


def _panels(names: Sequence[str]) -> dict[str, int]:
    """Row of each quantity, from 1; the threshold shares that of the first curvature."""
    curvatures = [name for name in names if name in CURVATURES]
    alone = [name for name in names if name != THRESHOLD or not curvatures]
    panels = {name: row for row, name in enumerate(alone, 1)}
    return panels | ({THRESHOLD: panels[curvatures[0]]} if THRESHOLD in names and curvatures else {})


def _figure(panels: dict[str, int]) -> go.Figure:
    """Return the panels without lines."""
    rows = max(panels.values())
    figure = make_subplots(rows, 1, shared_xaxes=True, vertical_spacing=0.12 / rows)
    for name, row in reversed(panels.items()):  # the threshold comes last, and does not name its panel
        figure.update_yaxes(title_text=name.replace("_", " "), row=row, col=1)
    figure.update_xaxes(title_text="step", row=rows, col=1)
    styled(figure, height=_PANEL_PIXELS * rows + 140)
    figure.update_layout(legend={"y": -0.4 / rows}, hovermode="x")
    return figure


def _draw(figure: go.Figure, trace: Trace, panels: dict[str, int]) -> None:
    """Draw what was recorded; a part of a quantity gets its line when it is first seen."""
    lines = {line.name: line for line in figure.data}
    with figure.batch_update():
        for name in (name for name in panels if name in trace.quantities):
            for number, part in enumerate(trace.parts(name)):
                label = f"{name}: {part}" if part else name
                if label not in lines:
                    _add_line(figure, label, panels[name], number, dashed=name == THRESHOLD)
                    lines[label] = figure.data[-1]
                values = trace.of(name, part)
                lines[label].x, lines[label].y = values["step"].tolist(), as_list(values["value"])
                lines[label].error_y.array = as_list(values["error"])


def _add_line(figure: go.Figure, label: str, row: int, number: int, *, dashed: bool) -> None:
    line = {"color": "#767676", "dash": "dash"} if dashed else {"color": _COLORS[number % len(_COLORS)]}
    figure.add_scatter(
        name=label,
        mode="lines" if dashed else "lines+markers",
        line=line,
        marker={"size": 4},
        error_y={"type": "data", "thickness": 1, "width": 0},
        row=row,
        col=1,
    )
