"""The view of a penalty from random probes: how much of it is noise, by their number."""

from typing import cast

import plotly.graph_objects as go

from workbench.domains import DiagonalNoise, diagonal_noise
from workbench.domains.probe_noise import KIND_COLORS, KINDS
from workbench.explore.figure_data import as_list
from workbench.explore.one_call import OneCall
from workbench.explore.style import styled
from workbench.explore.view import Cost, Results, Values, View

_ASKED = ("draws", "shift", "width", "steps", "seed")
_SECONDS = 0.004  # of a step of the default network on coloured digits, on one core
_HELP = """
<p>How far apart are the diagonals of the head's Hessian in the training environments? Estimated by random
signs, the squared distance gets their variance beside it. <b>Independent</b>: each environment has probes of
its own; <b>shared</b>: all have the same. Points are means over the draws with two standard errors, lines the
law: the exact distance and a part that falls with the number of probes.</p>
<p><b>Dashed</b>: exact diagonals, which need no probes. The network was trained by ERM.</p>"""


_CALL = OneCall("noise", diagonal_noise, "wb.domains.diagonal_noise", _ASKED)


def _estimate(problem: None, values: Values) -> Cost:
    return Cost(0.5 + _SECONDS * values["steps"] + 0.02 * values["draws"], 0.0)


def _figure() -> go.Figure:
    """Points and law of both kinds, then the exact distance."""
    figure = go.Figure()
    for kind in KINDS:
        figure.add_scatter(
            name=f"{kind} probes",
            mode="markers",
            marker={"color": KIND_COLORS[kind], "size": 8},
            error_y={"type": "data", "thickness": 1.5, "width": 5},
            hovertemplate="%{x}: %{y:.4g} ± %{error_y.array:.1g}<extra>%{fullData.name}</extra>",
        )
        figure.add_scatter(
            name=f"law, {kind}",
            mode="lines",
            line={"color": KIND_COLORS[kind], "width": 1.5},
            hovertemplate="%{x}: %{y:.4g}<extra>%{fullData.name}</extra>",
        )
    figure.add_scatter(
        name="exact diagonals",
        mode="lines",
        line={"color": "#888888", "dash": "dash", "width": 1.5},
        hovertemplate="%{y:.4g}<extra>exact diagonals</extra>",
    )
    figure.update_xaxes(title_text="probes of each environment", type="log")
    figure.update_yaxes(title_text="spread of the diagonals", type="log", exponentformat="power", dtick=1)
    styled(figure, height=460)
    figure.update_layout(title={"font": {"size": 14}})
    return figure


def _draw(figure: go.Figure, results: Results) -> None:
    found = cast(DiagonalNoise, results["noise"])
    traces = iter(figure.data)
    for kind in KINDS:
        points, law = next(traces), next(traces)
        mean, error = found.mean(kind)
        points.x, points.y = as_list(found.counts), as_list(mean)
        points.error_y.array = as_list(2 * error)
        law.x, law.y = as_list(found.counts), as_list(found.law(kind))
    exact = next(traces)
    exact.x, exact.y = as_list(found.counts[[0, -1]]), [found.exact, found.exact]
    figure.layout.title.text = (
        f"{found.shift} shift after {found.steps} steps of ERM: exact distance {found.exact:.3g}"
    )


PROBE_NOISE = View(
    title="Probes",
    notebook="domain_alignment",
    help=_HELP,
    figure=_figure,
    compute=_CALL.compute,
    draw=_draw,
    code=_CALL.code,
    estimate=_estimate,
    controls=_ASKED,
)
