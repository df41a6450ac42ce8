"""The view of trainings to the edge of stability: sharpness over the threshold, step by step."""

import inspect
from typing import Any, cast

import plotly.graph_objects as go

from workbench.colors import BLUE, GREEN, ORANGE, SKY, VERMILION
from workbench.explore.figure_data import as_list
from workbench.explore.style import styled
from workbench.explore.training_cost import training_cost
from workbench.explore.view import Cost, Results, Values, View
from workbench.problem import Problem
from workbench.stability.experiments import EdgeOfStability, edge_of_stability
from workbench.stability.experiments.digits_regression import class_regression
from workbench.stability.quantities import Sharpness

_COLORS = (BLUE, VERMILION, GREEN, ORANGE, SKY)
_HELP = """
<p>Each line is a full-batch training of a tanh network on digits (an experiment of its own, not the problem
above): its sharpness, the largest eigenvalue of the Hessian, divided by the threshold at which its optimiser
diverges on a quadratic: 2/η, with momentum (2 + 2β)/η. A colour is a learning rate, given by how far above
the initial sharpness the threshold lies (<i>ratios</i>); its lines are the seeds.</p>
<p>Training sharpens until it meets the dashed line, and then stays there. A line that ends has diverged; one
that never meets the dashed line needs more steps, or a lower ratio.</p>"""


def _compute(problem: Problem, values: Values) -> Results:
    edge = edge_of_stability(
        values["ratios"],
        momentum=values["momentum"],
        seeds=range(values["runs"]),
        steps=values["edge_steps"],
        examples=values["edge_examples"],
    )
    return {"edge": edge}


def _code(values: Values) -> str:
    return (
        "from workbench.stability.experiments import edge_of_stability\n\n"
        "edge = edge_of_stability(\n"
        f"    {values['ratios']}, momentum={values['momentum']}, seeds=range({values['runs']}),\n"
        f"    steps={values['edge_steps']}, examples={values['edge_examples']}\n"
        ")\n"
        "edge.plot()\n"
        "edge.by_rate()"
    )


def _estimate(problem: Problem, values: Values) -> Cost:
    """Of each training a gradient a step, and its measurements; the network is the experiment's own."""
    usual = inspect.signature(edge_of_stability).parameters
    example = class_regression(values["edge_examples"], usual["width"].default, 0)
    measurements = 2 + values["edge_steps"] // usual["every"].default
    gradients = values["edge_steps"] + Sharpness.cost * measurements
    return training_cost(example, len(values["ratios"]) * values["runs"] * gradients)


def _figure() -> go.Figure:
    """All traces without data: the edge, and a line for each colour of learning rates."""
    figure = go.Figure()
    figure.add_scatter(
        name="edge of stability", mode="lines", line={"color": "#767676", "dash": "dash"}, hoverinfo="skip"
    )
    for color in _COLORS:
        figure.add_scatter(
            mode="lines",
            line={"color": color, "width": 1.3},
            showlegend=False,
            hovertemplate="step %{x}: %{y:.3f} of the threshold<extra>%{fullData.name}</extra>",
        )
    figure.update_xaxes(title_text="step")
    figure.update_yaxes(title_text="sharpness / threshold", rangemode="tozero")
    return styled(figure)


def _draw(figure: go.Figure, results: Results) -> None:
    edge = cast(EdgeOfStability, results["edge"])
    border, *lines = figure.data
    border.x, border.y = [0, int(edge.steps[-1])], [1, 1]
    for color, line in enumerate(lines):
        places = range(color, len(edge.ratios), len(lines))
        line.x, line.y = _joined(edge, list(places))
        names = ", ".join(f"{edge.ratios[place]:.3g}" for place in places)
        line.name = f"threshold {names} × initial sharpness"
        line.showlegend = bool(names)


def _joined(edge: EdgeOfStability, places: list[int]) -> tuple[list[Any], list[Any]]:
    """All runs of some learning rates as one line, with gaps between them."""
    x: list[Any] = []
    y: list[Any] = []
    for place in places:
        for level in edge.level[place]:
            x += [*edge.steps.tolist(), None]
            y += [*as_list(level), None]
    return x, y


EDGE = View(
    title="Edge of stability",
    notebook="stability",
    help=_HELP,
    figure=_figure,
    compute=_compute,
    draw=_draw,
    code=_code,
    estimate=_estimate,
    controls=("ratios", "momentum", "runs", "edge_steps", "edge_examples"),
)
