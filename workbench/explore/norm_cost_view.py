"""The view of what a DoRA layer's norm costs: time and memory against the width and the rank."""

from typing import cast

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.adaptation import NormCosts, norm_costs
from workbench.adaptation.costs import AXES, KINDS, MEASURES, NORM_COLORS
from workbench.explore.figure_data import as_list
from workbench.explore.one_call import OneCall
from workbench.explore.style import styled
from workbench.explore.view import Cost, Results, Values, View

_ASKED = ("rounds", "widths", "ranks", "seed")
_HELP = """
<p>The norm of each row of W + sBA, which a DoRA layer needs at every step, in float32 on this machine's CPU.
<b>Identity</b> is how PEFT computes it: BA as the output for an identity matrix. <b>Dense</b> forms BA,
<b>factored</b> does not, and <b>cached</b> also knows the norms of W, which is frozen.</p>
<p>Times are medians over the rounds with their quartiles; bytes, counted from the allocator's calls, do not
vary. Lines against the width are at the largest rank, and the other way round.</p>"""


_CALL = OneCall("costs", norm_costs, "wb.adaptation.norm_costs", _ASKED)


def _estimate(problem: None, values: Values) -> Cost:
    """From 20 billion operations and a billion entries written in a second, measured on one core."""
    widths, ranks = values["widths"], values["ranks"]
    each = sum(10 * width**2 * (rank / 2e10 + 1e-9) for width in widths for rank in ranks)
    return Cost((values["rounds"] + 3) * each, 8.0 * 4 * max(widths, default=0) ** 2)


def _figure() -> go.Figure:
    """All traces without data: of each panel, every kind."""
    figure = make_subplots(2, 2, horizontal_spacing=0.12, vertical_spacing=0.16)
    for row, _ in enumerate(MEASURES, 1):
        for column, _ in enumerate(AXES, 1):
            for kind in KINDS:
                figure.add_scatter(
                    name=kind,
                    legendgroup=kind,
                    showlegend=row == column == 1,
                    mode="lines+markers",
                    line={"color": NORM_COLORS[kind], "width": 2},
                    marker={"size": 5},
                    error_y={"type": "data", "thickness": 1, "width": 3},
                    hovertemplate="%{x}: %{y:.3s}<extra>%{fullData.name}</extra>",
                    row=row,
                    col=column,
                )
    figure.update_xaxes(type="log")
    figure.update_yaxes(type="log", exponentformat="SI")
    for row in (1, 2):
        figure.update_xaxes(title_text="width", row=row, col=1)
        figure.update_xaxes(title_text="rank", row=row, col=2)
    figure.update_yaxes(title_text="seconds for a norm", row=1, col=1)
    figure.update_yaxes(title_text="bytes at the peak", row=2, col=1)
    styled(figure, height=640)
    figure.update_layout(title={"font": {"size": 14}})
    return figure


def _draw(figure: go.Figure, results: Results) -> None:
    found = cast(NormCosts, results["costs"])
    lines = iter(figure.data)
    for measure in MEASURES:
        for axis in AXES:
            x = as_list(found.widths if axis == "width" else found.ranks)
            for kind in KINDS:
                line = next(lines)
                low, median, high = found.curve(kind, measure, axis)
                line.x, line.y = x, as_list(median)
                line.error_y.update(array=as_list(high - median), arrayminus=as_list(median - low))
    for column, axis in enumerate(AXES, 1):
        figure.update_xaxes(tickvals=found.widths if axis == "width" else found.ranks, row=1, col=column)
        figure.update_xaxes(tickvals=found.widths if axis == "width" else found.ranks, row=2, col=column)
    slow, middle, fast = found.faster("cached")[:, -1, -1]
    at = f"width {found.widths[-1]}, rank {found.ranks[-1]}"
    faster = f"{middle:.2g} times faster than dense ({slow:.2g} to {fast:.2g})"
    less = f"{found.smaller('cached')[-1, -1]:.3g} times less memory"
    figure.layout.title.text = f"{at}: cached {faster}, {less}"


NORM_COST = View(
    title="Cost of the norm",
    notebook="dora",
    help=_HELP,
    figure=_figure,
    compute=_CALL.compute,
    draw=_draw,
    code=_CALL.code,
    estimate=_estimate,
    controls=_ASKED,
)
