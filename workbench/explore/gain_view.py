"""The view of a DoRA layer's gain near 1: what is left of it, by the way that it is applied."""

from typing import cast

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.adaptation import GainErrors, gain_errors
from workbench.adaptation.gains import MEASURED_SPREAD, MEASURES, PATH_COLORS, PATHS
from workbench.explore.figure_data import as_list
from workbench.explore.one_call import OneCall
from workbench.explore.style import styled
from workbench.explore.view import Results, View

_ASKED = ("draws", "dtype", "ratio", "seed")
_TITLES = ("the change y - b", "the output y", "g - 1, found in y")
_HELP = """
<p>The last step of a DoRA layer multiplies its sum by a gain g that starts at 1: all it learns is g - 1. The
axes are the distance of g from 1 and the error relative to float64, for three things: the <b>change</b> of
the output, as a way of computing it has it; the written <b>output</b>; and the <b>gain</b> that a fit finds
in the output. At an error of 1 nothing is left. Bars are two standard errors over the draws.</p>
<p><b>Dotted</b>: nearer than this, a gain above 1 is 1 after rounding. <b>Dashed</b>: the spread of g that
arXiv 2603.22276 measured in a trained model. <i>ratio</i> is the size of the frozen layer's output over that
of the update.</p>"""


_CALL = OneCall("gains", gain_errors, "wb.adaptation.gain_errors", _ASKED)


def _figure() -> go.Figure:
    """All traces without data: a path's errors of each measure, then the two distances that are marked."""
    figure = make_subplots(1, 3, horizontal_spacing=0.08, subplot_titles=_TITLES)
    for column in range(1, len(MEASURES) + 1):
        for path in PATHS:
            figure.add_scatter(
                name=path,
                legendgroup=path,
                showlegend=column == 2,  # which all paths have
                mode="lines+markers",
                line={"color": PATH_COLORS[path], "width": 2},
                marker={"size": 4},
                error_y={"type": "data", "thickness": 1, "width": 2},
                hovertemplate="%{x:.2g}: %{y:.3g} ± %{error_y.array:.1g}<extra>%{fullData.name}</extra>",
                row=1,
                col=column,
            )
    for column in range(1, len(MEASURES) + 1):
        for dash in ("dot", "dash"):
            figure.add_scatter(
                mode="lines",
                showlegend=False,
                hoverinfo="skip",
                line={"color": "#888888", "dash": dash, "width": 1},
                row=1,
                col=column,
            )
    figure.update_xaxes(title_text="distance of g from 1", type="log", exponentformat="power", dtick=1)
    figure.update_yaxes(type="log", exponentformat="power", dtick=1)
    figure.update_yaxes(title_text="relative error", row=1, col=1)
    figure.update_yaxes(dtick="D1", row=1, col=2)  # which spans less than a decade
    styled(figure, height=470)
    figure.update_layout(title={"font": {"size": 14}})
    return figure


def _draw(figure: go.Figure, results: Results) -> None:
    found = cast(GainErrors, results["gains"])
    lines = iter(figure.data)
    for measure in MEASURES:
        for path in PATHS:
            line = next(lines)
            mean, error = found.curve(path, measure)
            line.x, line.y = as_list(found.distances), as_list(mean)
            line.error_y.array = as_list(2 * error)
    for measure in MEASURES:
        errors = found.errors[MEASURES.index(measure)]
        ends = as_list([errors[errors == errors].min(), errors[errors == errors].max()])
        for distance in (found.zone, MEASURED_SPREAD):
            line = next(lines)
            line.x, line.y = [distance, distance], ends
    size = f"{found.rows} × {found.columns}, {found.draws} draws"
    figure.layout.title.text = f"{found.dtype}, output {found.ratio:g} times the update, {size}"


GAIN = View(
    title="Near 1",
    notebook="dora",
    help=_HELP,
    figure=_figure,
    compute=_CALL.compute,
    draw=_draw,
    code=_CALL.code,
    controls=_ASKED,
)
