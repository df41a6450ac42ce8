"""The view of gradient-normalised smoothness: the error of the linearised gradient along some directions."""

import time
from typing import cast

import numpy as np
import plotly.graph_objects as go

from workbench.colors import BLUE, GREEN, ORANGE, VERMILION
from workbench.explore.figure_data import as_list
from workbench.explore.one_call import OneCall
from workbench.explore.style import styled
from workbench.explore.view import Cost, Results, Values, View
from workbench.problem import Problem
from workbench.stability.smoothness import GradientSmoothness, gradient_smoothness

_ASKED = ("eigenvectors", "random", "matrix", "rank", "seed")
_COLORS = {"gradient": BLUE, "eigenvectors": ORANGE, "random": GREEN, "step": VERMILION}
_EDGE, _RADIUS = len(_COLORS), len(_COLORS) + 1  # places among the traces
_GRADIENTS = 20  # of a direction, about
_HELP = """
<p>How far can a step go before the matrix no longer explains how the gradient changes? <b>Points</b>: the
error of the linearised gradient at a distance along a direction, in units of ‖g‖ ‖h‖. <b>Line</b>: what is
allowed, 1 / distance. The <b>radius γ</b> is where the first direction crosses it.</p>
<p>Some directions are looked at, and γ is defined by all: it is an <i>upper bound</i>.</p>"""


_CALL = OneCall(
    "smoothness",
    gradient_smoothness,
    "gradient_smoothness",
    _ASKED,
    "workbench.stability.smoothness",
    takes_problem=True,
)


def _estimate(problem: Problem, values: Values) -> Cost:
    """Gradients in float64, which take about twice as long."""
    started = time.monotonic()
    problem.gradient()
    directions = 2 + values["eigenvectors"] + values["random"]
    return Cost(2 * _GRADIENTS * directions * (time.monotonic() - started), 0.0)


def _figure() -> go.Figure:
    """All traces without data: one for each kind of direction, the edge, the radius."""
    figure = go.Figure()
    for kind, color in _COLORS.items():
        figure.add_scatter(
            name=kind,
            mode="lines+markers",
            line={"color": color, "width": 1},
            marker={"size": 4},
            hovertemplate="distance %{x:.3g}: %{y:.3g}<extra>%{fullData.name}</extra>",
        )
    figure.add_scatter(name="1 / distance", mode="lines", line={"color": "black", "width": 1.5})
    figure.add_scatter(name="γ", mode="lines", line={"color": "black", "dash": "dash"})
    figure.update_xaxes(title_text="distance ‖h‖", type="log")
    figure.update_yaxes(title_text="error of the linearised gradient / (‖g‖ ‖h‖)", type="log")
    styled(figure, height=520)
    figure.update_layout(title={"font": {"size": 14}})
    return figure


def _draw(figure: go.Figure, results: Results) -> None:
    found = cast(GradientSmoothness, results["smoothness"])
    table = found.frame()
    for kind, trace in zip(_COLORS, figure.data, strict=False):
        x: list[float | None] = []
        y: list[float | None] = []
        for name in found.names:
            if name.split(" ")[0] != kind:
                continue
            for side in (1, -1):
                part = table[(table.direction == name) & (np.sign(table.distance) == side)]
                part = part.assign(distance=part.distance.abs()).sort_values("distance")
                x += [*as_list(part.distance.to_numpy()), None]  # a gap before the next line
                y += [*as_list(part.ratio.to_numpy()), None]
        trace.x, trace.y = x, y
    distances = table.distance.abs()
    edge = np.geomspace(distances.min(), distances.max(), 50)
    line, radius = figure.data[_EDGE], figure.data[_RADIUS]
    line.x, line.y = as_list(edge), as_list(1 / edge)
    positive = table.ratio[table.ratio > 0]
    radius.x, radius.y = [found.gamma] * 2, [float(positive.min()), float(1 / edge[0])]
    figure.layout.title.text = found.summary().splitlines()[0]


SMOOTHNESS = View(
    title="Smoothness",
    notebook="smoothness",
    help=_HELP,
    figure=_figure,
    compute=_CALL.compute,
    draw=_draw,
    code=_CALL.code,
    estimate=_estimate,
    controls=_ASKED,
)
