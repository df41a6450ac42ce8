"""The view of adaptations by several methods: accuracy and loss against the learning rate."""

from typing import cast

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.adaptation import AdaptationContest, compare_adaptations
from workbench.adaptation.fine_tuning import METHOD_COLORS, METHODS
from workbench.explore.figure_data import as_list
from workbench.explore.one_call import OneCall
from workbench.explore.style import styled
from workbench.explore.view import Cost, Results, Values, View

_ASKED = (
    "rank", "task", "rates", "optimizer", "examples", "epochs", "pretraining", "width", "blocks", "seeds"
)  # fmt: skip
_SHOWN = ("test_accuracy", "test_loss")
_SECONDS = 0.012  # of a step of the default network, measured on one core
_HELP = """
<p>A small transformer that knows upright digits learns turned ones, or negatives: <b>full</b> trains all
parameters, <b>lora</b> and <b>dora</b> an update of every linear layer of this <i>rank</i>, <b>dora-exact</b>
the same with DoRA's norm differentiated. All see the same examples in the same order.</p>
<p>Points are means over the seeds, bars 95% intervals (Student's). Nothing is tuned but the rate: each method
is trained at all of them, and the large point is the one that examples kept aside choose.</p>"""


_CALL = OneCall("contest", compare_adaptations, "wb.adaptation.compare_adaptations", _ASKED)


def _estimate(problem: None, values: Values) -> Cost:
    steps = values["epochs"] * values["examples"] / 64 * len(values["rates"]) * len(METHODS)
    each = _SECONDS * values["width"] / 32 * values["blocks"] / 2
    return Cost(values["seeds"] * each * (steps + 23 * values["pretraining"]), 0.0)


def _figure() -> go.Figure:
    """A line of every method and its chosen point, for the accuracy and for the loss; then the start."""
    figure = make_subplots(1, 2, horizontal_spacing=0.12)
    for column in (1, 2):
        for method in METHODS:
            figure.add_scatter(
                name=method,
                legendgroup=method,
                showlegend=column == 1,
                mode="lines+markers",
                line={"color": METHOD_COLORS[method], "width": 2},
                marker={"size": 5},
                error_y={"type": "data", "thickness": 1, "width": 4},
                hovertemplate="rate %{customdata:g}: %{y:.3f} ± %{error_y.array:.2g}"
                "<extra>%{fullData.name}</extra>",
                row=1,
                col=column,
            )
            figure.add_scatter(
                name=f"{method}, chosen",
                legendgroup=method,
                showlegend=False,
                mode="markers",
                hoverinfo="skip",
                marker={"color": METHOD_COLORS[method], "size": 13},
                row=1,
                col=column,
            )
    figure.add_scatter(
        name="before adapting",
        mode="lines",
        line={"color": "#888888", "dash": "dot", "width": 1},
        hovertemplate="%{y:.3f}<extra>before adapting</extra>",
        row=1,
        col=1,
    )
    figure.update_xaxes(title_text="largest learning rate", type="log")
    figure.update_yaxes(title_text="held-out accuracy", row=1, col=1)
    figure.update_yaxes(title_text="held-out loss", type="log", row=1, col=2)
    styled(figure, height=480)
    figure.update_layout(title={"font": {"size": 14}})
    return figure


def _draw(figure: go.Figure, results: Results) -> None:
    found = cast(AdaptationContest, results["contest"])
    traces = iter(figure.data)
    shift = 10 ** np.linspace(-0.04, 0.04, len(METHODS))  # so that bars do not hide each other
    for measure in _SHOWN:
        for method, by in zip(METHODS, shift, strict=True):
            line, point = next(traces), next(traces)
            known = method in found.methods
            line.visible = point.visible = known
            if not known:
                continue
            means = [found.mean(method, measure, rate) for rate in found.rates]
            line.x, line.y = as_list(found.rates * by), as_list([mean for mean, _ in means])
            line.customdata = as_list(found.rates)
            line.error_y.array = as_list([half for _, half in means])
            best = found.chosen[method]
            point.x, point.y = [best * by], as_list([found.mean(method, measure)[0]])
            line.name = f"{method}, {found.parameters[found.methods.index(method)]} parameters"
    start = next(traces)
    start.x, start.y = as_list(found.rates), [float(found.start.mean())] * len(found.rates)
    effort = f"{found.examples} examples, {found.epochs} epochs, {found.seeds} seeds, {found.optimizer}"
    figure.layout.title.text = f"{found.task} digits, rank {found.rank}, {effort}"


ADAPTATION = View(
    title="Trainings",
    notebook="dora",
    help=_HELP,
    figure=_figure,
    compute=_CALL.compute,
    draw=_draw,
    code=_CALL.code,
    estimate=_estimate,
    controls=_ASKED,
)
