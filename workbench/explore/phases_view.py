"""The view of phases: from how many samples on each method finds the direction, and how that grows with d."""

from typing import Any, cast

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.colors import BLUE, GREEN, ORANGE, SKY, VERMILION
from workbench.explore.chains_view import chain_steps, instance_numbers, step_seconds
from workbench.explore.figure_data import as_list
from workbench.explore.slider import add_slider, set_slider, slider_step
from workbench.explore.style import styled
from workbench.explore.view import Cost, Results, Values, View
from workbench.particles import PhaseDiagram, phase_diagram
from workbench.particles.planted.phases import BYTES

_COLORS = (ORANGE, SKY, BLUE, VERMILION, GREEN, "#767676")
_ASCENT_STEPS = 700  # of all ascents together
_ASKED = ("model", "order", "dims", "exponents", "runs", "beta", "step", "length", "minibatches", "seed")
_HELP = """
<p><b>Left</b>: the share of instances in which the cosine with the planted direction is above one half,
against p, where n = d<sup>p</sup> samples are used; a line for each dimension d, with exact 95% intervals.
The slider below changes the method.</p>
<p><b>Right</b>: for each method the exponent with which n at one half grows with d, and its 95% bootstrap
interval over instances. A method without a point has a threshold outside of the exponents asked for.</p>"""


def _compute(problem: None, values: Values) -> Results:
    return {"phases": phase_diagram(**{name: values[name] for name in _ASKED})}


def _code(values: Values) -> str:
    asked = "".join(f"    {name}={values[name]!r},\n" for name in _ASKED)
    return (
        "import workbench as wb\n\n"
        f"phases = wb.particles.phase_diagram(\n{asked})\n"
        "phases.plot()\n"
        "print(phases.summary())"
    )


def _estimate(problem: None, values: Values) -> Cost:
    """Of each dimension its chains, ascents, and online SGD, a sixth of a millisecond a sample."""
    seconds, numbers = 0.0, 0.0
    for dim in values["dims"]:
        here = {**values, "dim": dim}
        chains = 2 if values["minibatches"] else 1
        seconds += (chains * chain_steps(here) + _ASCENT_STEPS) * step_seconds(here)
        batches = np.ceil(4 * values["runs"] * instance_numbers(here) / BYTES)
        seconds += batches * dim ** max(values["exponents"]) / 6e3
        numbers = max(numbers, min(values["runs"] * instance_numbers(here), BYTES / 4))
    return Cost(float(seconds), 8 * numbers)


def _figure() -> go.Figure:
    """All traces without data: a line for each of up to six dimensions, and the growth."""
    figure = make_subplots(1, 2, column_widths=[0.55, 0.45], horizontal_spacing=0.22)
    for color in _COLORS:
        figure.add_scatter(
            mode="lines+markers",
            line={"color": color, "width": 2},
            error_y={"type": "data", "symmetric": False, "thickness": 1, "width": 2},
            hovertemplate="p = %{x}: found in %{y:.0%}<extra>%{fullData.name}</extra>",
            row=1,
            col=1,
        )
    figure.add_scatter(
        mode="markers",
        marker={"color": BLUE, "size": 9},
        error_x={"type": "data", "symmetric": False, "thickness": 1.5},
        hovertemplate="%{y}: d^%{x:.2f}<extra></extra>",
        showlegend=False,
        row=1,
        col=2,
    )
    figure.update_xaxes(title_text="p, where n = d^p", row=1, col=1)
    figure.update_yaxes(title_text="share of instances found", range=[-0.03, 1.03], row=1, col=1)
    figure.update_xaxes(title_text="growth of n with d: exponent", row=1, col=2)
    styled(figure, height=560)
    figure.update_layout(title={"font": {"size": 13}}, legend={"y": -0.5})
    return add_slider(figure, "method: ")


def _draw(figure: go.Figure, results: Results) -> None:
    found = cast(PhaseDiagram, results["phases"])
    steps = [_step(found, method, place) for place, method in enumerate(found.methods)]
    for place, trace in enumerate(figure.data[: len(_COLORS)]):
        known = place < len(found.dims)
        trace.showlegend, trace.name = known, f"d = {found.dims[place]}" if known else None
        trace.x = found.exponents.tolist() if known else []
        trace.y = trace.error_y.array = trace.error_y.arrayminus = []
    set_slider(figure, steps, active=found.methods.index("average, ascent"))
    table = found.thresholds()
    growth = figure.data[-1]
    growth.x, growth.y = as_list(table["growth"]), list(found.methods)
    growth.error_x.array = as_list(table["growth_high"] - table["growth"])
    growth.error_x.arrayminus = as_list(table["growth"] - table["growth_low"])
    figure.update_yaxes(
        categoryorder="array", categoryarray=list(reversed(found.methods)),
        range=[-0.5, len(found.methods) - 0.5], row=1, col=2,
    )  # fmt: skip


def _step(found: PhaseDiagram, method: str, place: int) -> dict[str, Any]:
    """Return a step of the slider: how often one method finds the direction, and how its n grows."""
    table = found.frame()
    rows = [table[(table["method"] == method) & (table["dim"] == dim)] for dim in found.dims[: len(_COLORS)]]
    told = (
        f"{method}: exponent of growth {found.growth(method)}, "
        f"p at d = {found.dims[-1]}: {found.threshold(method, found.dims[-1])}"
    )
    traces = {
        number: {
            "y": as_list(each["found"]),
            "error_y.array": as_list(each["high"] - each["found"]),
            "error_y.arrayminus": as_list(each["found"] - each["low"]),
        }
        for number, each in enumerate(rows)
    }
    return slider_step(method, place, {"title.text": told}, traces)


PHASES = View(
    title="Phases",
    notebook="langevin",
    help=_HELP,
    figure=_figure,
    compute=_compute,
    draw=_draw,
    code=_code,
    estimate=_estimate,
    controls=_ASKED,
)
