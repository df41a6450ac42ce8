"""The view of a loss slice: the plane of two eigenvectors, its quadratic model, and both lines."""

import time
from typing import Any, cast

import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.colors import BLUE, GREEN, VERMILION
from workbench.curvature import LossSlice, eigenvector_directions, slice_loss
from workbench.explore.controls import CONTROL_LAYOUT, CONTROL_STYLE
from workbench.explore.curvature_parts import (
    eigenpairs_code,
    eigenpairs_of,
    operator_of,
    product_seconds,
    search_cost,
)
from workbench.explore.figure_data import as_list
from workbench.explore.style import styled
from workbench.explore.view import Cost, Results, Values, View
from workbench.problem import Problem

_HELP = """
<p><b>Left</b>: the loss in the plane of two eigenvectors, the network in the middle, in units of the distance
in the space of the parameters. Within the green circle the quadratic model misses less than a tenth of the
change of the loss; without a circle it does so as far as the plane reaches. The menu <i>show</i> changes to
the error of that model.</p>
<p><b>Right</b>: the two lines through the middle, the loss beside the model (dashed) that gradient and
Hessian make of it. Where they part, an eigenvalue no longer tells what a step does.</p>"""


def _enough(values: Values) -> Values:
    """As many eigenpairs as the plane needs."""
    return values | {"k": max(values["k"], values["first"], values["second"])}


def _compute(problem: Problem, values: Values) -> Results:
    directions = eigenvector_directions(
        eigenpairs_of(problem, _enough(values)), values["first"], values["second"]
    )
    reach, points = values["slice_reach"], values["slice_points"]
    return {"slice": slice_loss(problem, directions, reach=reach, points=points)}


def _code(values: Values) -> str:
    return eigenpairs_code(_enough(values)) + (
        f"directions = wb.curvature.eigenvector_directions(pairs, {values['first']}, {values['second']})\n"
        f"plane = wb.curvature.slice_loss(\n"
        f"    problem, directions, reach={values['slice_reach']}, points={values['slice_points']}\n"
        ")\n"
        "plane.plot()"
    )


def _estimate(problem: Problem, values: Values) -> Cost:
    """The search for the eigenpairs, and a forward pass for each point."""
    operator = operator_of(problem, values)
    search = search_cost(operator, _enough(values)["k"], product_seconds(operator))
    started = time.monotonic()
    problem.loss_at()
    return Cost(search.seconds + (time.monotonic() - started) * values["slice_points"] ** 2, search.bytes)


def _figure() -> go.Figure:
    """All traces without data: loss and error as contours, circle, middle, and a line and its model twice."""
    figure = make_subplots(1, 2, horizontal_spacing=0.2, subplot_titles=("loss", "along each direction"))
    left, right = {"row": 1, "col": 1}, {"row": 1, "col": 2}
    bar = {"x": 0.41, "xanchor": "left", "thickness": 12}
    point = "(%{x:.3g}, %{y:.3g}): "
    figure.add_contour(
        colorscale="Blues",
        ncontours=25,
        colorbar=bar,
        line={"width": 0.4},
        hovertemplate=f"{point}loss %{{z:.5g}}<extra></extra>",
        **left,
    )
    figure.add_contour(
        colorscale="RdBu_r",
        zmid=0,
        ncontours=25,
        colorbar=bar,
        line={"width": 0.4},
        visible=False,
        hovertemplate=f"{point}loss − model %{{z:.3g}}<extra></extra>",
        **left,
    )
    figure.add_scatter(
        name="model misses 10 % of the change",
        mode="lines",
        line={"color": GREEN},
        hoverinfo="skip",
        **left,
    )
    figure.add_scatter(
        mode="markers",
        marker={"symbol": "cross-thin-open", "color": "black", "size": 9},
        hoverinfo="skip",
        showlegend=False,
        **left,
    )
    for color, direction in ((BLUE, "first"), (VERMILION, "second")):
        for dash, name in (("solid", "loss"), ("dash", "model")):
            figure.add_scatter(
                name=f"{name} along the {direction}",
                mode="lines",
                line={"color": color, "dash": dash},
                hovertemplate=f"%{{x:.3g}}: {name} %{{y:.5g}}<extra></extra>",
                **right,
            )
    figure.update_xaxes(constrain="domain", **left)
    figure.update_yaxes(constrain="domain", scaleanchor="x", **left)
    figure.update_xaxes(title_text="distance", **right)
    figure.update_yaxes(title_text="loss", **right)
    return styled(figure, height=500)


def _draw(figure: go.Figure, results: Results) -> None:
    plane = cast(LossSlice, results["slice"])
    assert plane.quadratic is not None
    assert plane.validity is not None
    loss, error, circle, middle, *lines = figure.data
    x, y = (axis.tolist() for axis in plane.axes)
    for trace, values in ((loss, plane.loss), (error, plane.loss - plane.quadratic)):
        trace.x, trace.y, trace.z = x, y, as_list(values.T)
    radius, resolution, reach = plane.validity
    inside = radius <= reach
    circle.x, circle.y = map(as_list, plane.circle(radius)) if inside else ([], [])
    middle.x, middle.y = [0], [0]
    centre = len(x) // 2
    cuts = plane.loss[:, centre], plane.quadratic[:, centre], plane.loss[centre], plane.quadratic[centre]
    for number, (trace, cut) in enumerate(zip(lines, cuts, strict=True)):
        trace.x, trace.y = plane.axes[number // 2].tolist(), as_list(cut)
    figure.update_xaxes(title_text=plane.labels[0], range=[x[0], x[-1]], row=1, col=1)
    figure.update_yaxes(title_text=plane.labels[1], range=[y[0], y[-1]], row=1, col=1)
    low, high = _span(np.concatenate([plane.loss[:, centre], plane.loss[centre]]))
    figure.update_yaxes(range=[low, high], row=1, col=2)
    figure.layout.annotations[1].text = (
        f"model holds to {max(radius - resolution, 0):.2g} … {radius:.2g}"
        if inside
        else f"model holds as far as {reach:.2g}"
    )


def _span(loss: np.ndarray) -> tuple[float | None, float | None]:
    """Range of the finite losses with a margin, so that a model that runs away stays out of the picture."""
    finite = loss[np.isfinite(loss)]
    if not len(finite):
        return None, None
    margin = 0.08 * (finite.max() - finite.min()) or 0.08 * abs(finite.max()) or 1.0
    return float(finite.min() - margin), float(finite.max() + margin)


def _surface_switch(figure: go.FigureWidget) -> dict[str, widgets.Widget]:
    """Return a switch between the loss and the error of its model, which needs no new computation."""
    switch = widgets.Dropdown(
        options=[("loss", 0), ("loss − quadratic model", 1)],
        description="show",
        tooltip="what the plane shows: the loss, or what the quadratic model misses of it",
        layout=CONTROL_LAYOUT,
        style=CONTROL_STYLE,
    )

    def change(event: dict[str, Any]) -> None:
        with figure.batch_update():
            for number, trace in enumerate(figure.data[:2]):
                trace.visible = number == event["new"]
            figure.layout.annotations[0].text = switch.label

    switch.observe(change, names="value")
    return {"show": switch}


LOSS_SLICE = View(
    title="Loss slice",
    notebook="curvature",
    help=_HELP,
    figure=_figure,
    compute=_compute,
    draw=_draw,
    code=_code,
    estimate=_estimate,
    extras=_surface_switch,
    controls=(
        "operator",
        "k",
        "which",
        "first",
        "second",
        "slice_reach",
        "slice_points",
        "tolerance",
        "seed",
    ),
)
