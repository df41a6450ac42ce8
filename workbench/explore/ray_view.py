"""The view of a ray: the loss along a direction, its Taylor polynomials, and the radii; a slider over tau."""

import time
from typing import Any, cast

import numpy as np
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from workbench.colors import BLUE, GREEN, VERMILION
from workbench.explore.figure_data import as_list
from workbench.explore.remembered import remembered, result_key
from workbench.explore.slider import add_slider, set_slider, slider_step
from workbench.explore.style import styled
from workbench.explore.taylor_parts import direction_code, direction_cost, direction_of
from workbench.explore.view import Cost, Results, Values, View
from workbench.problem import Problem
from workbench.stability import Ray, ray

_POINTS, _ORDERS = 81, 8  # of a ray that is drawn
_COLORS = sample_colorscale("YlOrRd", np.linspace(0.35, 0.95, _ORDERS).tolist())
_DASHES = {"exact": "solid", "majority": "dash", "spread": "dot"}
_LOSS, _LINEAR = _ORDERS, _ORDERS + 1  # places among the traces, after the polynomials
_HELP = """
<p>The loss (thick) at a distance τ along a unit direction in the space of the parameters; gradient descent
goes against the gradient, to the left. Dashed: the loss if the logits went on as straight as they start.
Thin: the Taylor polynomials of that <i>linearised</i> loss, redder by their order.</p>
<p>Vertical lines, on both sides: the <b>exact</b> radius, the distance of the nearest complex zero of a
sample's softmax, and two cheaper bounds below it. Within the exact radius the polynomials come nearer with
each order, beyond it they do not. Where thick and dashed part, the logits bend, of which no radius of the
softmax knows.</p>
<p>The slider below moves τ; the title says what is lost there, in radii and in loss.</p>"""


def _compute(problem: Problem, values: Values) -> Results:
    """Follow the ray once for all orders."""
    asked = {name: values[name] for name in ("direction", "seed")}

    def compute() -> dict[str, Ray]:
        found = ray(problem, direction_of(problem, values), None, _POINTS, _ORDERS, seed=values["seed"])
        if found.interrupted:
            raise KeyboardInterrupt
        return {"ray": found}

    results, _ = remembered(result_key("ray", problem, asked), compute)
    whole = cast(Ray, results["ray"])
    return {"ray": whole.replace(coefficients=whole.coefficients[: values["order"] + 1])}


def _code(values: Values) -> str:
    lines, direction = direction_code(values)
    return lines + (
        f"ray = wb.stability.ray(problem, {direction}, points={_POINTS}, order={values['order']}, "
        f"seed={values['seed']})\n"
        "ray.plot()\n"
        "print(ray.summary())"
    )


def _estimate(problem: Problem, values: Values) -> Cost:
    """A forward pass for each point, and the search for an eigenvector; outputs are kept."""
    search = direction_cost(problem, values)
    started = time.monotonic()
    problem.loss_at()
    return Cost(search.seconds + (time.monotonic() - started) * (_POINTS + 3), search.bytes)


def _figure() -> go.Figure:
    """All traces without data: polynomials, loss, linearised loss, and a pair of lines for each radius."""
    figure = go.Figure()
    for order, color in enumerate(_COLORS, 1):
        figure.add_scatter(
            name=f"order {order}",
            mode="lines",
            line={"color": color, "width": 1.3},
            hovertemplate=f"τ = %{{x:.3g}}: polynomial of order {order} %{{y:.5g}}<extra></extra>",
        )
    figure.add_scatter(
        name="loss",
        mode="lines",
        line={"color": BLUE, "width": 3},
        hovertemplate="τ = %{x:.3g}: loss %{y:.5g}<extra></extra>",
    )
    figure.add_scatter(
        name="linearised logits",
        mode="lines",
        line={"color": BLUE, "dash": "dash"},
        hovertemplate="τ = %{x:.3g}: loss of linearised logits %{y:.5g}<extra></extra>",
    )
    for kind, dash in _DASHES.items():
        figure.add_scatter(
            mode="lines",
            line={"color": GREEN, "dash": dash, "width": 1.5},
            hovertemplate=f"{kind} radius %{{x:.4g}}<extra></extra>",
        )
    figure.add_vline(x=0, line={"color": VERMILION, "width": 2})
    figure.update_xaxes(title_text="distance τ along the direction")
    figure.update_yaxes(title_text="loss")
    styled(figure, height=600)
    figure.update_layout(title={"font": {"size": 14}}, legend={"y": 1.0, "x": 1.02, "orientation": "v"})
    return add_slider(figure, "τ = ")


def _draw(figure: go.Figure, results: Results) -> None:
    found = cast(Ray, results["ray"])
    x = found.distance.tolist()
    for order, trace in enumerate(figure.data[:_ORDERS], 1):
        known = order <= found.order
        trace.x, trace.y = (x, as_list(found.polynomials[order])) if known else ([], [])
        trace.showlegend = known
    loss, linear, *radii = figure.data[_LOSS:]
    loss.x, loss.y = x, as_list(found.loss)
    linear.x, linear.y = x, as_list(found.linearised)
    low, high = found.span()
    for kind, trace in zip(_DASHES, radii, strict=True):
        radius = found.radii[kind]
        shown = radius <= x[-1]
        trace.x = [radius, radius, None, -radius, -radius] if shown else []
        trace.y = [low, high, None, low, high] if shown else []
        trace.name = f"{_name(kind, found)} {radius:.3g}"
    figure.update_yaxes(range=[low, high], title_text=found.terms)
    figure.update_xaxes(range=[x[0], x[-1]], title_text=f"distance τ along the {found.direction}")
    steps = [_step(found, place) for place in range(len(x))]
    set_slider(figure, steps, active=len(x) // 2)


def _name(kind: str, found: Ray) -> str:
    return "NOT certified radius" if kind == "exact" and not found.certified else f"{kind} radius"


def _step(found: Ray, place: int) -> dict[str, Any]:
    """Return a step of the slider: the line moves, and the title tells of the place."""
    tau, loss = float(found.distance[place]), float(found.loss[place])
    linear, last = float(found.linearised[place]), float(found.polynomials[-1][place])
    told = (
        f"{abs(tau) / found.radii['exact']:.2f} exact radii: loss {loss:.4g}, linearised {linear:.4g}, "
        f"which order {found.order} misses by {abs(last - linear):.1g}"
    )
    return slider_step(f"{tau:.3g}", place, {"shapes[0].x0": tau, "shapes[0].x1": tau, "title.text": told})


RAY = View(
    title="Ray",
    notebook="taylor_radius",
    help=_HELP,
    figure=_figure,
    compute=_compute,
    draw=_draw,
    code=_code,
    estimate=_estimate,
    controls=("direction", "order", "seed"),
)
