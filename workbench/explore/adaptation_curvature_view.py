"""The view of the curvature in what each method of adaptation trains, before and after."""

from typing import cast

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.adaptation import AdaptationCurvature, adaptation_curvature
from workbench.adaptation.curvatures import MOMENTS
from workbench.adaptation.fine_tuning import METHOD_COLORS, METHODS
from workbench.explore.figure_data import as_list
from workbench.explore.one_call import OneCall
from workbench.explore.style import styled
from workbench.explore.view import Cost, Results, Values, View

_ASKED = (
    "rank", "task", "matrix", "products", "examples", "epochs", "pretraining", "width", "blocks", "seeds"
)  # fmt: skip
_SHOWN = {"eigenvalue": "largest eigenvalue λ", "limit": "2/λ", "trace": "trace"}
_SYMBOLS = {"before": "circle-open", "after": "circle"}
_HELP = """
<p>The loss of the examples trained on, as a function of what a method trains: all parameters, or an update of
every linear layer. <b>Open</b>: before the training; <b>filled</b>: after it, by AdamW.
Small points are seeds, bars 95% intervals of their mean (Student's).</p>
<p>A step of gradient descent above 2/λ leaves a minimum. AdamW rescales its steps: for it this is a scale
and no limit. Before the training the Hessian's trace may be negative; that of the Gauss-Newton
matrix is not.</p>"""


_CALL = OneCall("curvature", adaptation_curvature, "wb.adaptation.adaptation_curvature", _ASKED)


def _estimate(problem: None, values: Values) -> Cost:
    """From 60 milliseconds a product with 300 examples of the default network, measured on one core."""
    steps = values["epochs"] * values["examples"] / 64
    products = 2 * (values["products"] + 12) * values["examples"] / 300
    each = values["width"] / 32 * values["blocks"] / 2
    seconds = len(METHODS) * (0.012 * steps + 0.06 * products) + 0.012 * 23 * values["pretraining"]
    return Cost(values["seeds"] * each * seconds, 0.0)


def _figure() -> go.Figure:
    """Seeds and means of every method, before and after, for each measure."""
    figure = make_subplots(1, 3, horizontal_spacing=0.09)
    for column in range(1, len(_SHOWN) + 1):
        for method in METHODS:
            for moment in MOMENTS:
                common = {"name": f"{method}, {moment}", "showlegend": False, "mode": "markers"}
                figure.add_scatter(
                    **common,
                    marker={"color": METHOD_COLORS[method], "size": 5, "opacity": 0.4},
                    hovertemplate="%{y:.4g}<extra>%{fullData.name}</extra>",
                    row=1,
                    col=column,
                )
                figure.add_scatter(
                    **common,
                    marker={"color": METHOD_COLORS[method], "size": 10, "symbol": _SYMBOLS[moment]},
                    error_y={"type": "data", "thickness": 1.5, "width": 5},
                    hovertemplate="%{y:.4g} ± %{error_y.array:.2g}<extra>%{fullData.name}</extra>",
                    row=1,
                    col=column,
                )
    for column, (measure, words) in enumerate(_SHOWN.items(), 1):
        kind = "linear" if measure == "trace" else "log"  # a trace may be negative
        figure.update_yaxes(title_text=words, type=kind, exponentformat="power", row=1, col=column)
    figure.update_xaxes(tickvals=list(range(len(METHODS))), ticktext=METHODS)
    styled(figure, height=480)
    figure.update_layout(title={"font": {"size": 14}})
    return figure


def _draw(figure: go.Figure, results: Results) -> None:
    found = cast(AdaptationCurvature, results["curvature"])
    traces = iter(figure.data)
    for measure in _SHOWN:
        for place, method in enumerate(METHODS):
            for at, moment in enumerate(MOMENTS):
                points, mean = next(traces), next(traces)
                points.visible = mean.visible = method in found.methods
                if method not in found.methods:
                    continue
                values, x = found.of(method, moment, measure), place + 0.3 * (at - 0.5)
                middle, half = found.mean(method, moment, measure)
                points.x, points.y = [x] * len(values), as_list(values)
                mean.x, mean.y, mean.error_y.array = [x], as_list([middle]), as_list([half])
    effort = f"{found.examples} examples, {found.epochs} epochs, {found.seeds} seeds"
    rates = ", ".join(f"{method} {rate:g}" for method, rate in found.rates.items())
    figure.layout.title.text = (
        f"{found.matrix}, {found.task} digits, rank {found.rank}, {effort}<br>rates: {rates}"
    )


ADAPTATION_CURVATURE = View(
    title="Curvature",
    notebook="dora",
    help=_HELP,
    figure=_figure,
    compute=_CALL.compute,
    draw=_draw,
    code=_CALL.code,
    estimate=_estimate,
    controls=_ASKED,
)
