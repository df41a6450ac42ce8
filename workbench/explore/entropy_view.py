"""The view of attention's entropy over the norm of the query, with a slider through its weights."""

from typing import Any, cast

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.attention import EntropyCurves, entropy_curves
from workbench.attention.entropy import COLORS, KINDS
from workbench.explore.figure_data import as_list
from workbench.explore.one_call import OneCall
from workbench.explore.slider import add_slider, set_slider, slider_step
from workbench.explore.style import styled
from workbench.explore.view import Results, View

_ASKED = ("dim", "keys", "draws", "seed")
_HELP = """
<p>A query of a random direction attends to random keys. <b>Left</b>: the entropy of its weights against its
norm, mean over the draws; bars are two standard errors. The softmax sharpens as the norm grows. Relu features
do not see the norm; those of elu + 1 see a little of it. The norm-aware power sees it, as far as about 2:
beyond that it is at its end.</p>
<p><b>Right</b>: the weights from the largest down, at the norm of the slider below.</p>"""


_CALL = OneCall("curves", entropy_curves, "wb.attention.entropy_curves", _ASKED)


def _figure() -> go.Figure:
    """All traces without data: entropies, then weights, one of each for every kind."""
    figure = make_subplots(1, 2, horizontal_spacing=0.14)
    for kind in KINDS:
        figure.add_scatter(
            name=kind,
            legendgroup=kind,
            mode="lines+markers",
            line={"color": COLORS[kind], "width": 2},
            marker={"size": 4},
            error_y={"type": "data", "thickness": 1, "width": 2},
            hovertemplate="norm %{x:.3g}: %{y:.3f} ± %{error_y.array:.2g}<extra>%{fullData.name}</extra>",
            row=1,
            col=1,
        )
    for kind in KINDS:
        figure.add_scatter(
            name=kind,
            legendgroup=kind,
            showlegend=False,
            mode="lines",
            line={"color": COLORS[kind], "width": 2},
            hovertemplate="rank %{x}: %{y:.3g}<extra>%{fullData.name}</extra>",
            row=1,
            col=2,
        )
    figure.update_xaxes(title_text="norm of the query", type="log", row=1, col=1)
    figure.update_yaxes(title_text="entropy (nats)", row=1, col=1)
    figure.update_xaxes(title_text="rank of the key", type="log", row=1, col=2)
    figure.update_yaxes(title_text="weight", rangemode="tozero", row=1, col=2)
    styled(figure, height=560)
    figure.update_layout(title={"font": {"size": 14}}, legend={"y": -0.45})
    return add_slider(figure, "norm = ")


def _draw(figure: go.Figure, results: Results) -> None:
    found = cast(EntropyCurves, results["curves"])
    steps = [_step(found, place) for place in range(len(found.norms))]
    set_slider(figure, steps, active=len(steps) // 2)
    for place, kind in enumerate(KINDS):
        known = kind in found.kinds
        line, weights = figure.data[place], figure.data[place + len(KINDS)]
        line.showlegend = known
        mean, error = found.curve(kind) if known else (np.empty(0), np.empty(0))
        line.x, line.y = as_list(found.norms) if known else [], as_list(mean)
        line.error_y.array = as_list(2 * error)
        weights.x = list(range(1, found.keys + 1)) if known else []


def _step(found: EntropyCurves, place: int) -> dict[str, Any]:
    """Return a step of the slider: the weights at one norm, and every entropy there."""
    norm = f"{found.norms[place]:.2g}"
    ranked = dict(zip(found.kinds, found.ranked[:, place], strict=True))
    weights = {
        number: {"y": as_list(ranked[kind]) if kind in ranked else []}
        for number, kind in enumerate(KINDS, len(KINDS))
    }
    told = ", ".join(f"{kind} {found.curve(kind)[0][place]:.2f}" for kind in found.kinds)
    return slider_step(norm, place, {"title.text": f"entropy at a norm of {norm}: {told}"}, weights)


ENTROPY = View(
    title="Entropy",
    notebook="linear_attention",
    help=_HELP,
    figure=_figure,
    compute=_CALL.compute,
    draw=_draw,
    code=_CALL.code,
    controls=_ASKED,
)
