"""The view of learning rates: what was tested and what formulas say, on one axis."""

from typing import cast

import plotly.graph_objects as go

from workbench.colors import BLUE, GREEN, VERMILION
from workbench.explore.figure_data import as_list
from workbench.explore.overview_parts import CONTROLS, overview_code, overview_of, with_named_rows, wrapped
from workbench.explore.view import Results, View
from workbench.overview import Overview
from workbench.overview.sections.step_section import Mark, StepSection

_ROW_PIXELS = 45
_GREY = "#666666"
_HELP = """
<p>Learning rates on one axis. The star is the largest that short trainings survive, with its 95 % interval;
dots are what formulas say, the green band is worth trying, the red line is today's rate. Above, the number of
warnings and what to try.</p>
<p>The whole page, with its pictures: <code>overview.to_html("page.html")</code>.</p>"""


def _figure() -> go.Figure:
    """All traces without data: what was tested, and what formulas say."""
    figure = go.Figure()
    for name, color, symbol, size in (("tested", BLUE, "star", 15), ("formulas", _GREY, "circle", 9)):
        figure.add_scatter(
            name=name,
            mode="markers",
            marker={"color": color, "symbol": symbol, "size": size},
            error_x={"type": "data", "symmetric": False, "array": [], "arrayminus": []},
            hovertemplate="%{y}: %{x:.3g}<extra></extra>",
        )
    return with_named_rows(figure, "learning rate")


def _draw(figure: go.Figure, results: Results) -> None:
    found = cast(Overview, results["overview"])
    step = found.sections.get("step")
    marks = step.marks if isinstance(step, StepSection) else []
    tested, formulas = figure.data
    _fill(tested, [mark for mark in marks if mark.tested])
    _fill(formulas, [mark for mark in marks if not mark.tested])
    figure.layout.shapes = _shapes(step) if isinstance(step, StepSection) else []
    figure.layout.title.text = wrapped(found.sentence, 110)
    figure.layout.xaxis.title.text = f"learning rate of {getattr(step, 'optimizer', 'the optimizer')}"
    figure.layout.height = 240 + _ROW_PIXELS * len(marks)


def _fill(trace: go.Scatter, marks: list[Mark]) -> None:
    trace.x, trace.y = as_list([mark.value for mark in marks]), [mark.label for mark in marks]
    trace.error_x.array = as_list([mark.high - mark.value for mark in marks])
    trace.error_x.arrayminus = as_list([mark.value - mark.low for mark in marks])


def _shapes(step: StepSection) -> list[dict[str, object]]:
    """The band worth trying, and today's rate."""
    across = {"yref": "y domain", "y0": 0, "y1": 1}
    shapes: list[dict[str, object]] = []
    if step.advised is not None:
        low, high = step.advised
        band = {"type": "rect", "xref": "x", "x0": low, "x1": high}
        shapes.append({**band, "fillcolor": GREEN, "opacity": 0.15, "line_width": 0, **across})
    if step.rate is not None:
        line = {"type": "line", "xref": "x", "x0": step.rate, "x1": step.rate}
        shapes.append({**line, "line_color": VERMILION, **across})
    return shapes


LEARNING_RATES = View(
    title="Learning rates",
    notebook="overview",
    help=_HELP,
    figure=_figure,
    compute=overview_of,
    draw=_draw,
    code=overview_code,
    controls=CONTROLS,
)
