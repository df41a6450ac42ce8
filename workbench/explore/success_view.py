"""The view of successes: how often swarms find the minimiser, over dimensions and numbers of particles."""

import time
from typing import cast

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.explore.style import styled
from workbench.explore.view import Cost, Results, Values, View
from workbench.particles.experiments import SuccessTable, success_table
from workbench.particles.experiments.success_grid import COLORS
from workbench.problem import Problem

_PANELS = 2
_TIMED = 20  # steps, for an estimate
_SETTINGS = ("table_runs", "table_steps", "steepness", "noise", "seed")
_HELP = """
<p>The share of runs whose consensus is within 0.25 of the minimiser in every coordinate at the end, for
anisotropic swarms that start uniform in the box, on Rastrigin's function with the coefficient 2.5 (10 is
usual elsewhere, and harder) and on Ackley's. A colour is a dimension. Bars are exact 95 % intervals of
Clopper and Pearson: with few runs they are wide.</p>
<p>Five dimensions have a colour; more use the colours again.</p>"""


def _compute(problem: Problem, values: Values) -> Results:
    asked = {name: values[name] for name in _SETTINGS}
    table = success_table(dims=values["dims"], counts=values["counts"], **asked)
    return {"table": table}


def _code(values: Values) -> str:
    settings = ", ".join(f"{name}={values[name]!r}" for name in _SETTINGS)
    return (
        "from workbench.particles import experiments\n\n"
        "table = experiments.success_table(\n"
        f"    dims={values['dims']}, counts={values['counts']},\n"
        f"    {settings},\n"
        ")\n"
        "table.plot()\n"
        "table.table()"
    )


def _estimate(problem: Problem, values: Values) -> Cost:
    """By some steps of the largest cell of each landscape."""
    dim, count = max(values["dims"]), max(values["counts"])
    few = {name: values[name] for name in _SETTINGS} | {"table_steps": min(_TIMED, values["table_steps"])}
    success_table(dims=[dim], counts=[count], **few | {"table_steps": 1})  # the first one also compiles
    started = time.monotonic()
    success_table(dims=[dim], counts=[count], **few)
    seconds = (time.monotonic() - started) * values["table_steps"] / few["table_steps"]
    cells = sum(values["dims"]) * sum(values["counts"]) / (dim * count)
    return Cost(cells * seconds, 12.0 * values["table_runs"] * dim * count)


def _figure() -> go.Figure:
    """All traces without data: a line for each colour in each of two plots."""
    figure = make_subplots(1, _PANELS, horizontal_spacing=0.1, subplot_titles=("Rastrigin", "Ackley"))
    for panel in range(_PANELS):
        for color in COLORS:
            figure.add_scatter(
                mode="lines+markers",
                line={"color": color},
                error_y={"type": "data", "symmetric": False, "array": [], "arrayminus": [], "color": color},
                showlegend=False,
                hovertemplate="%{x} particles: %{y:.3f} of the runs<extra>%{fullData.name}</extra>",
                row=1,
                col=panel + 1,
            )
    figure.update_xaxes(title_text="particles", type="category")
    figure.update_yaxes(range=[-0.05, 1.05])
    figure.update_yaxes(title_text="share of the runs that find it", row=1, col=1)
    styled(figure, height=500)
    return figure


def _draw(figure: go.Figure, results: Results) -> None:
    table = cast(SuccessTable, results["table"])
    frame = table.frame()
    for panel, name in enumerate(table.landscapes[:_PANELS]):
        figure.layout.annotations[panel].text = name
        for color in range(len(COLORS)):
            trace = figure.data[panel * len(COLORS) + color]
            dims = table.dims[color :: len(COLORS)]
            part = frame[(frame["landscape"] == name) & frame["dim"].isin(dims)]
            trace.x = part["particles"].astype(str).tolist()
            trace.y = part["rate"].tolist()
            trace.error_y.array = (part["high"] - part["rate"]).tolist()
            trace.error_y.arrayminus = (part["rate"] - part["low"]).tolist()
            trace.name = "d = " + ", ".join(map(str, dims))
            trace.showlegend = panel == 0 and len(dims) > 0


SUCCESS = View(
    title="Success",
    notebook="particles",
    help=_HELP,
    figure=_figure,
    compute=_compute,
    draw=_draw,
    code=_code,
    estimate=_estimate,
    controls=("dims", "counts", *_SETTINGS),
)
