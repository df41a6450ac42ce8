"""The view of ghosts: complex zeros of the samples that bind first, and a disk of the size of a step."""

from typing import Any, cast

import numpy as np
import plotly.graph_objects as go

from workbench.colors import VERMILION
from workbench.explore.figure_data import as_list
from workbench.explore.slider import add_slider, set_slider, slider_step
from workbench.explore.style import styled
from workbench.explore.taylor_parts import direction_code, direction_cost, direction_of
from workbench.explore.view import Results, Values, View
from workbench.problem import Problem
from workbench.stability import Ghosts, nearest_ghosts

_COUNT = 4  # zeros of each sample, in the upper half plane
_STEPS = 61  # of the slider
_HELP = """
<p>Along a direction the softmax of each sample has a partition function F(t), with t the distance. Where F is
zero the loss has a singularity. On the real line there is none, but for complex t there are: the
<b>ghosts</b>. Here are the nearest of the samples that bind first, those with the smallest radii; each has a
mirror image below.</p>
<p>The slider below changes the disk |t| = τ. A step of length τ is within the Taylor series of the loss as
long as no ghost lies in the disk (the logits taken as linear). Colour is the margin of the sample, the logit
of its likeliest class less that of the second: confident samples have their ghosts to the side, where that
class has lost its lead. A cross is a zero of a sample of which it is not certified that nearer ones are all
found.</p>"""


def _compute(problem: Problem, values: Values) -> Results:
    direction = direction_of(problem, values)
    return {"ghosts": nearest_ghosts(problem, direction, values["samples"], _COUNT, seed=values["seed"])}


def _code(values: Values) -> str:
    lines, direction = direction_code(values)
    return lines + (
        f"ghosts = wb.stability.nearest_ghosts(problem, {direction}, {values['samples']}, {_COUNT}, "
        f"seed={values['seed']})\n"
        "ghosts.plot()\n"
        "print(ghosts.summary())"
    )


def _figure() -> go.Figure:
    """All traces without data: zeros, and the middle; the disk, and the slider that changes it."""
    figure = go.Figure()
    figure.add_scatter(
        mode="markers",
        showlegend=False,
        marker={
            "size": 8,
            "colorscale": "Cividis",
            "line": {"color": "#767676", "width": 0.7},
            "colorbar": {"title": {"text": "margin"}, "thickness": 12},
        },
        hovertemplate=(
            "t = %{x:.4g} + %{y:.4g} i, |t| = %{customdata[1]:.4g}<br>"
            "sample %{customdata[0]}, margin %{marker.color:.3g}<extra>%{text}</extra>"
        ),
    )
    figure.add_scatter(
        mode="markers",
        marker={"symbol": "cross-thin-open", "color": "#767676", "size": 11},
        hoverinfo="skip",
        showlegend=False,
    )
    figure.add_shape(
        type="circle",
        line={"color": VERMILION, "width": 2},
        fillcolor=VERMILION,
        opacity=0.25,
        layer="below",
        **_disk(0),
    )
    figure.update_xaxes(title_text="Re t (distance along the direction)")
    figure.update_yaxes(title_text="Im t", scaleanchor="x")
    styled(figure, height=640)
    figure.update_layout(title={"font": {"size": 14}})
    return add_slider(figure, "τ = ")


def _draw(figure: go.Figure, results: Results) -> None:
    ghosts = cast(Ghosts, results["ghosts"])
    table = ghosts.frame().dropna(subset="distance")
    if table.empty:  # no logit moves
        return
    dots, middle = figure.data
    dots.x, dots.y = as_list([*table["real"]] * 2), as_list([*table["imaginary"], *-table["imaginary"]])
    marks = ["circle" if certified else "x" for certified in table["certified"]]
    dots.marker.update(color=as_list([*table["margin"]] * 2), symbol=marks * 2)
    dots.customdata = table[["sample", "distance"]].to_numpy().tolist() * 2
    dots.text = ["" if certified else "NOT certified" for certified in table["certified"]] * 2
    middle.x, middle.y = [0], [0]
    nearest = np.sort(table.groupby("sample")["distance"].min().to_numpy())
    # The disk grows past the ghost of every sample, and stands at the first of them.
    sizes = np.linspace(0, 1.1 * nearest[-1], _STEPS)
    steps = [_step(nearest, place, float(size)) for place, size in enumerate(sizes)]
    active = int(np.abs(sizes - nearest[0]).argmin())
    reach = 1.1 * max(table["imaginary"].max(), sizes[-1])
    figure.update_yaxes(range=[-reach, reach])
    set_slider(figure, steps, active)


def _disk(size: float) -> dict[str, float]:
    return {"x0": -size, "x1": size, "y0": -size, "y1": size}


def _step(nearest: np.ndarray, place: int, size: float) -> dict[str, Any]:
    """Return a step of the slider: the disk grows, and the title counts the samples in it."""
    inside = int((nearest < size).sum())
    told = f"|t| = {size:.3g}: {inside} of {len(nearest)} samples have a ghost in the disk"
    disk = {f"shapes[0].{corner}": value for corner, value in _disk(size).items()}
    return slider_step(f"{size:.3g}", place, disk | {"title.text": told})


GHOSTS = View(
    title="Ghosts",
    notebook="taylor_radius",
    help=_HELP,
    figure=_figure,
    compute=_compute,
    draw=_draw,
    code=_code,
    estimate=direction_cost,
    controls=("direction", "samples", "seed"),
)
