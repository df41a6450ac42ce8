"""The view of a swarm: its particles on a landscape, with SGD beside it; a slider and a play button."""

import inspect
import time
from typing import Any, cast

import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots
from torch import Tensor

from workbench.colors import BLUE, GREEN, ORANGE, VERMILION
from workbench.explore.figure_data import as_list
from workbench.explore.slider import add_slider, move_slider, set_slider, slider_step
from workbench.explore.style import styled
from workbench.explore.training_cost import training_cost
from workbench.explore.view import Cost, Results, Values, View
from workbench.particles.experiments import Crossing, cross, loss_plane
from workbench.particles.landscapes import Landscape, canyon, landscape
from workbench.problem import Problem

LOSS_SLICE = "loss slice"
_FRAMES, _SHOWN = 51, 200  # moments of the slider, and particles that are drawn, at most
_PART = 20  # of the steps is timed for an estimate
_PLANE_PRODUCTS = 60  # with the Hessian, until its two directions are found
_CONSENSUS, _PARTICLES, _DESCENT = 1, 2, 3  # places among the traces
_LAW = ("kind", "particles", "alpha", "sigma", "lam", "steps", "runs")
_DESCENT_VALUES = ("rate", "gradient_noise", "descent_steps")
_HELP = """
<p><b>Left</b>: the particles of the first run (blue) on the landscape, the way of their consensus (orange),
and stochastic gradient descent from where one of the particles began (red), as far as it gets for as many
evaluations as the swarm has spent; a gradient counts as 3. Stars are minimisers. Where gradient descent
stops at a wall or in a hollow, the swarm may look beyond.</p>
<p><b>Right</b>: the effective sample size, how many particles the consensus rests on: at 1, the best one
decides. Below it the cosine of the step from the mean of the particles to their consensus with the
direction against the gradient at the mean: 1 would be gradient descent.</p>
<p>The slider moves the time, the button plays it. <i>loss slice</i> takes the plane of the problem's two
sharpest directions as landscape; all others are functions that do not know of the problem.</p>"""


def _landscape(problem: Problem, values: Values) -> Landscape:
    if values["landscape"] == LOSS_SLICE:
        return loss_plane(problem, seed=values["seed"])
    return landscape(values["landscape"])


def _compute(problem: Problem, values: Values) -> Results:
    asked = {name: values[name] for name in (*_LAW, *_DESCENT_VALUES, "seed")}
    crossing = cross(_landscape(problem, values), **asked)
    return {"crossing": crossing}


def _code(values: Values) -> str:
    made = (
        f"experiments.loss_plane(problem, seed={values['seed']})"
        if values["landscape"] == LOSS_SLICE
        else f"landscape({values['landscape']!r})"
    )
    law = ", ".join(f"{name}={values[name]!r}" for name in _LAW)
    descent = ", ".join(f"{name}={values[name]!r}" for name in _DESCENT_VALUES)
    return (
        "from workbench.particles import experiments, landscape\n\n"
        "crossing = experiments.cross(\n"
        f"    {made},\n"
        f"    {law},\n"
        f"    {descent}, seed={values['seed']},\n"
        ")\n"
        "crossing.plot()\n"
        "print(crossing.summary())"
    )


def _estimate(problem: Problem, values: Values) -> Cost:
    """By a twentieth of the steps; a slice is searched for and computed beside them."""
    sliced = values["landscape"] == LOSS_SLICE
    # Moves on a slice take about as long as those on the canyon, which is no compiled function either.
    ground = canyon() if sliced else landscape(values["landscape"])
    asked = {name: values[name] for name in (*_LAW, *_DESCENT_VALUES)}
    few = {name: max(1, asked[name] // _PART) for name in ("steps", "descent_steps")}
    cross(ground, **asked | {"steps": 1, "descent_steps": 1})  # the first one also compiles
    started = time.monotonic()
    cross(ground, **asked | few)
    seconds = _PART * (time.monotonic() - started)
    records = values["steps"] // max(1, values["steps"] // 100) + 2
    held = 4 * 2 * values["particles"] * values["runs"] * records
    if sliced:
        passes = inspect.signature(loss_plane).parameters["points"].default ** 2
        seconds += training_cost(problem, _PLANE_PRODUCTS * 2 + passes / 3).seconds
    return Cost(seconds, held)


def _figure() -> go.Figure:
    """All traces without data: landscape, consensus, particles, descent, minimisers; sample size, cosine."""
    figure = make_subplots(
        2,
        2,
        specs=[[{"rowspan": 2}, {}], [None, {}]],
        column_widths=[0.6, 0.4],
        horizontal_spacing=0.12,
        vertical_spacing=0.16,
        subplot_titles=("the first run", "effective sample size", "cosine with −gradient"),
    )
    left, above, below = {"row": 1, "col": 1}, {"row": 1, "col": 2}, {"row": 2, "col": 2}
    figure.add_contour(
        colorscale="Greys",
        opacity=0.5,
        ncontours=25,
        showscale=False,
        line={"width": 0.4},
        hovertemplate="(%{x:.2f}, %{y:.2f})<extra></extra>",
        **left,
    )
    figure.add_scatter(
        name="consensus", mode="lines+markers", line={"color": ORANGE, "width": 2}, marker={"size": 3},
        hovertemplate="consensus (%{x:.3f}, %{y:.3f})<extra></extra>", **left,
    )  # fmt: skip
    figure.add_scatter(
        name="particles", mode="markers", marker={"color": BLUE, "size": 4, "opacity": 0.6},
        hoverinfo="skip", **left,
    )  # fmt: skip
    figure.add_scatter(
        name="SGD", mode="lines", line={"color": VERMILION, "width": 2},
        hovertemplate="SGD (%{x:.3f}, %{y:.3f})<extra></extra>", **left,
    )  # fmt: skip
    figure.add_scatter(
        name="minimiser", mode="markers", marker={"symbol": "star", "color": "black", "size": 11},
        hovertemplate="minimiser (%{x:.3f}, %{y:.3f})<extra></extra>", **left,
    )  # fmt: skip
    for color, name, place in ((BLUE, "effective sample size", above), (GREEN, "cosine", below)):
        figure.add_scatter(
            mode="lines",
            line={"color": color, "width": 1.5},
            showlegend=False,
            hovertemplate=f"step %{{x}}: {name} %{{y:.3g}}<extra></extra>",
            **place,
        )
        figure.add_vline(x=0, line={"color": ORANGE, "width": 2}, **place)
    figure.update_yaxes(type="log", dtick=1, **above)
    figure.update_yaxes(range=[-1.05, 1.05], **below)
    figure.update_xaxes(title_text="step", **below)
    figure.update_xaxes(constrain="domain", **left)
    figure.update_yaxes(constrain="domain", scaleanchor="x", **left)
    styled(figure, height=620)
    figure.update_layout(title={"font": {"size": 14}}, margin={"t": 90}, legend={"y": -0.08})
    return add_slider(figure, "step ", pad=70)


def _draw(figure: go.Figure, results: Results) -> None:
    crossing = cast(Crossing, results["crossing"])
    ground, _, _, _, minimisers, ess, cosine = figure.data
    ground.x, ground.y = crossing.axes[0].tolist(), crossing.axes[1].tolist()
    ground.z = _ranks(crossing.landscape).T.tolist()
    minimisers.x, minimisers.y = crossing.minimisers.T.tolist()
    swarm = crossing.swarm
    at = swarm.steps.tolist()
    ess.x, ess.y = at, as_list(swarm.ess[:, 0])
    cosine.x, cosine.y = at, as_list(swarm.cosine[:, 0])
    low, high = crossing.axes[0][0], crossing.axes[0][-1]
    figure.update_xaxes(range=[low, high], row=1, col=1)
    figure.update_yaxes(range=[low, high], row=1, col=1)
    figure.update_yaxes(range=[0, float(np.log10(crossing.particles.shape[1]))], row=1, col=2)
    found, descended = crossing.hits
    figure.layout.annotations[
        0
    ].text = f"{swarm.objective}: {found} of {len(swarm.runs)} runs find it, {descended} of SGD"
    moments = np.unique(np.linspace(0, len(at) - 1, min(_FRAMES, len(at))).astype(int))
    steps = [_step(crossing, int(place), number) for number, place in enumerate(moments)]
    set_slider(figure, steps, active=len(steps) - 1)


def _step(crossing: Crossing, place: int, number: int) -> dict[str, Any]:
    """Return a step of the slider: swarm and descent at one moment, and the lines that mark it."""
    swarm, descent = crossing.swarm, crossing.descent
    step = int(swarm.steps[place])
    spent = (step + 1) * crossing.particles.shape[1]
    descended = int((descent.evaluations[:, 0] <= spent).sum())
    paths = {
        _CONSENSUS: swarm.consensus[: place + 1, 0],
        _PARTICLES: crossing.particles[place, :_SHOWN],
        _DESCENT: descent.points[:descended, 0],
    }
    traces = {trace: {"x": _rounded(path[:, 0]), "y": _rounded(path[:, 1])} for trace, path in paths.items()}
    lines = {f"shapes[{shape}].x{end}": step for shape in range(2) for end in range(2)}
    told = (
        f"step {step}: energy at the consensus {float(swarm.energy[place, 0]):.3g}, "
        f"effective sample size {float(swarm.ess[place, 0]):.3g}, "
        f"cosine {float(swarm.cosine[place, 0]):.2f}; "
        f"SGD {float(descent.energy[descended - 1, 0]):.3g}"
    )
    return slider_step(str(step), number, lines | {"title.text": told}, traces)


def _ranks(energy: np.ndarray) -> np.ndarray:
    """Share of the points that are lower: high walls leave shades for the ground between them."""
    return (np.searchsorted(np.sort(energy, axis=None), energy) / energy.size).round(3)


def _rounded(values: Tensor) -> list[Any]:
    """A coordinate for a page, which holds one for each particle and moment."""
    return as_list(values.double().numpy().round(3))


def _play(figure: go.FigureWidget) -> dict[str, widgets.Widget]:
    """Return a button that moves the slider through all of its steps."""
    play = widgets.Play(
        min=0, max=_FRAMES - 1, interval=200, description="play", tooltip="play the steps of the swarm"
    )
    play.observe(lambda event: move_slider(figure, event["new"] / (_FRAMES - 1)), names="value")
    return {"play": play}


SWARM = View(
    title="Swarm",
    notebook="particles",
    help=_HELP,
    figure=_figure,
    compute=_compute,
    draw=_draw,
    code=_code,
    estimate=_estimate,
    extras=_play,
    controls=("landscape", *_LAW, *_DESCENT_VALUES, "seed"),
)
