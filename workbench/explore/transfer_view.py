"""The view of a head's transfer: the largest rise of the target's loss in a ball, and its bound."""

from typing import cast

import numpy as np
import plotly.graph_objects as go

from workbench.colors import BLUE, GREEN, VERMILION
from workbench.domains import TransferBound, transfer_bound
from workbench.explore.figure_data import as_list
from workbench.explore.one_call import OneCall
from workbench.explore.style import styled
from workbench.explore.view import Cost, Results, Values, View
from workbench.result import student_interval

_ASKED = ("shift", "method", "weight", "seeds", "steps", "width")
_CURVES = (
    ("bound", VERMILION, "bound"),
    ("second_order", GREEN, "its part of first and second order"),
    ("attained", BLUE, "largest rise found"),
)
_HELP = """
<p>The features of a trained network are held fixed, and the last layer moves away from the head that is
optimal in the training environments. How much more can the loss rise in the test environment than there?
<b>Blue</b>: the most that a search finds within the distance. <b>Red</b>: what it cannot exceed, from the
distance of gradients and Hessians (spectral norm) at the optimum, and a third derivative. <b>Green</b>: the
same without the third derivative, which is no bound. Bars are 95% intervals over the seeds.</p>"""


_CALL = OneCall("bound", transfer_bound, "wb.domains.transfer_bound", _ASKED)


def _estimate(problem: None, values: Values) -> Cost:
    """From 3 seconds a seed of coloured digits with default settings, of which half is the training."""
    return Cost(values["seeds"] * (1.5 + 0.0075 * values["steps"] * values["width"] / 32), 0.0)


def _figure() -> go.Figure:
    """A line for each curve."""
    figure = go.Figure()
    for _, color, label in _CURVES:
        figure.add_scatter(
            name=label,
            mode="lines+markers",
            line={"color": color, "width": 2},
            marker={"size": 5},
            error_y={"type": "data", "thickness": 1, "width": 4},
            hovertemplate="%{x:.2g}: %{y:.3g} ± %{error_y.array:.2g}<extra>%{fullData.name}</extra>",
        )
    axis = {"type": "log", "exponentformat": "power", "dtick": 1}
    figure.update_xaxes(title_text="distance from the optimal head", **axis)
    figure.update_yaxes(title_text="rise of the test's loss beyond the training's", **axis)
    styled(figure, height=460)
    figure.update_layout(title={"font": {"size": 14}})
    return figure


def _draw(figure: go.Figure, results: Results) -> None:
    found = cast(TransferBound, results["bound"])
    for (name, _, _), trace in zip(_CURVES, figure.data, strict=True):
        mean, half = np.array([student_interval(row) for row in getattr(found, name)]).T
        trace.x, trace.y = as_list(found.radii), as_list(mean)
        trace.error_y.array = as_list(half)
    figure.layout.title.text = (
        f"{found.shift} shift, features of {found.method}: gradients apart by {found.gradients.mean():.3g}, "
        f"Hessians by {found.hessians.mean():.3g}"
    )


TRANSFER = View(
    title="Transfer",
    notebook="domain_alignment",
    help=_HELP,
    figure=_figure,
    compute=_CALL.compute,
    draw=_draw,
    code=_CALL.code,
    estimate=_estimate,
    controls=_ASKED,
)
