"""The view of last iterates: mean gaps over the steps with bounds, a slider over the iterates, and tails."""

import math
from typing import Any, cast

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.explore.figure_data import as_list
from workbench.explore.one_call import OneCall
from workbench.explore.slider import add_slider, set_slider, slider_step
from workbench.explore.style import styled
from workbench.explore.view import Cost, Results, Values, View
from workbench.stability.last_iterates import RULES, SampledRuns, sample_runs
from workbench.stability.last_iterates.runs import COLORS, ITERATES

_ASKED = ("dim", "objective", "noise", "horizons", "runs", "seed")
_HELP = """
<p>Stochastic gradient descent from 0 to a minimum at 1, many times, by several rules for its steps.
<b>Left</b>: mean of f - f* after T steps against T, bars are two standard errors. Solid is the iterate of
the slider below, dashed what the steps promise of the <i>last</i> one: solid last iterates have to stay
below.</p>
<p><b>Right</b>: at the largest T, the gap of the last iterate that is exceeded with a given probability. A
straight line is a tail that falls exponentially; Pareto's noise bends it up.</p>"""


_CALL = OneCall("sampled", sample_runs, "sample_runs", _ASKED, "workbench.stability.last_iterates")


def _estimate(problem: None, values: Values) -> Cost:
    """From 3 nanoseconds for each step of a coordinate, 11 for Pareto's noise, measured on one core."""
    each = 11e-9 if values["noise"] == "pareto" else 3e-9
    return Cost(each * sum(values["horizons"]) * values["runs"] * values["dim"] * len(RULES), 0.0)


def _figure() -> go.Figure:
    """All traces without data: for each rule its means, its bound and its tail."""
    figure = make_subplots(1, 2, horizontal_spacing=0.14)
    for rule in RULES:
        figure.add_scatter(
            name=rule,
            legendgroup=rule,
            mode="lines+markers",
            line={"color": COLORS[rule], "width": 2},
            error_y={"type": "data", "thickness": 1, "width": 2},
            hovertemplate="T = %{x}: %{y:.3g} ± %{error_y.array:.1g}<extra>%{fullData.name}</extra>",
            row=1,
            col=1,
        )
    for rule in RULES:
        figure.add_scatter(
            name=f"{rule}, bound",
            legendgroup=rule,
            showlegend=False,
            mode="lines",
            line={"color": COLORS[rule], "width": 1, "dash": "dash"},
            hovertemplate="T = %{x}: at most %{y:.3g}<extra>%{fullData.name}</extra>",
            row=1,
            col=1,
        )
    for rule in RULES:
        figure.add_scatter(
            name=rule,
            legendgroup=rule,
            showlegend=False,
            mode="lines",
            line={"color": COLORS[rule], "width": 2},
            hovertemplate="1 in %{x:.0f}: above %{y:.3g}<extra>%{fullData.name}</extra>",
            row=1,
            col=2,
        )
    figure.update_xaxes(title_text="steps T", type="log", row=1, col=1)
    figure.update_yaxes(title_text="mean of f - f*", type="log", exponentformat="power", row=1, col=1)
    figure.update_xaxes(title_text="1 / probability of more", type="log", row=1, col=2)
    figure.update_yaxes(title_text="f - f* of the last iterate", rangemode="tozero", row=1, col=2)
    styled(figure, height=560)
    figure.update_layout(title={"font": {"size": 14}}, legend={"y": -0.45})
    return add_slider(figure, "iterate: ")


def _draw(figure: go.Figure, results: Results) -> None:
    found = cast(SampledRuns, results["sampled"])
    set_slider(figure, [_step(found, iterate) for iterate in ITERATES], active=0)
    deltas = np.logspace(0, math.log10(10 / found.runs), 40)[1:]
    for place, rule in enumerate(RULES):
        known = rule in found.rules
        means, bound, tail = figure.data[place :: len(RULES)]
        means.showlegend = known
        for trace in (means, bound):
            trace.x = found.horizons.tolist() if known else []
        bound.y = as_list(found.bounds[found.rules.index(rule)]) if known else []
        tail.x = as_list(1 / deltas) if known else []
        tail.y = as_list(found.quantiles(rule, deltas)[0]) if known else []


def _step(found: SampledRuns, iterate: str) -> dict[str, Any]:
    """Return a step of the slider: the means of one iterate, and how fast they fall by rule."""
    traces: dict[int, dict[str, Any]] = {
        number: {"y": [], "error_y.array": []} for number in range(len(RULES))
    }
    for rule in found.rules:
        mean, error = found.mean(rule, iterate)
        traces[RULES.index(rule)] = {"y": as_list(mean), "error_y.array": as_list(2 * error)}
    told = ", ".join(f"{rule} T^{found.slope(rule, iterate).value:.2f}" for rule in found.rules)
    title = f"{iterate} iterate, {found.objective}, {found.noise} noise: {told}"
    return slider_step(iterate, ITERATES.index(iterate), {"title.text": title}, traces)


LAST_ITERATES = View(
    title="Last iterates",
    notebook="schedules",
    help=_HELP,
    figure=_figure,
    compute=_CALL.compute,
    draw=_draw,
    code=_CALL.code,
    estimate=_estimate,
    controls=_ASKED,
)
