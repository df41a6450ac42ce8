"""The view of trainings by schedule: losses beside linear decay, and the refined schedules."""

from typing import Any, cast

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.explore.figure_data import as_list
from workbench.explore.one_call import OneCall
from workbench.explore.slider import add_slider, set_slider, slider_step
from workbench.explore.style import styled
from workbench.explore.view import Cost, Results, Values, View
from workbench.stability.experiments import ScheduleContest, compare_schedules
from workbench.stability.experiments.two_passes.digit_networks import NETWORKS
from workbench.stability.experiments.two_passes.schedule_contest import COLORS, SCHEDULES
from workbench.stability.schedules import shape

_ASKED = ("problems", "steps", "seeds", "tuning_seeds", "smoothing")
_OTHERS = tuple(schedule for schedule in SCHEDULES if schedule != "linear")
_HELP = """
<p>Logistic regressions by SGD and networks by Adam, with five schedules, each at its own best learning rate.
<b>Left</b>: the training loss (of regressions above its minimum) over that of linear decay, seed by seed;
bars are 95% intervals, left of the line is better.</p>
<p><b>Right</b>: for the problem of the slider below, the norms of the gradients in the first pass, over their
largest, and the schedules of the second pass that come from them, of the first seed; dotted is linear decay.
Where norms are small, the refined schedule is high; it always ends at 0.</p>"""


_CALL = OneCall(
    "contest",
    compare_schedules,
    "compare_schedules",
    _ASKED,
    "workbench.stability.experiments",
)


def _estimate(problem: None, values: Values) -> Cost:
    """From 0.5 milliseconds a step of a network and 0.015 of a regression, measured on one core."""
    networks = sum(name in NETWORKS for name in values["problems"])
    trainings = 5 * values["seeds"] + 25 * values["tuning_seeds"]
    each = 5e-4 * networks + 1.5e-5 * (len(values["problems"]) - networks)
    return Cost(each * trainings * values["steps"], 0.0)


def _figure() -> go.Figure:
    """All traces without data: ratios of each schedule, then norms, the refined schedule and linear decay."""
    figure = make_subplots(1, 2, horizontal_spacing=0.1)
    for schedule in _OTHERS:
        figure.add_scatter(
            name=schedule,
            mode="markers",
            marker={"color": COLORS[schedule], "size": 8},
            error_x={"type": "data", "symmetric": False, "thickness": 1.5, "width": 4},
            hovertemplate="%{y}: %{x:.3g} of linear decay<extra>%{fullData.name}</extra>",
            row=1,
            col=1,
        )
    lines = {
        "norm": {"color": "#999999", "width": 1},
        "refined schedule": {"color": COLORS["refined"], "width": 2},
        "linear decay": {"color": COLORS["linear"], "width": 2, "dash": "dot"},
    }
    for name, line in lines.items():
        figure.add_scatter(name=name, mode="lines", line=line, row=1, col=2)
    figure.add_vline(x=1, line={"color": COLORS["linear"], "width": 1}, row=1, col=1)
    figure.update_xaxes(title_text="training loss / that of linear decay", type="log", row=1, col=1)
    figure.update_yaxes(autorange="reversed", row=1, col=1)
    figure.update_xaxes(title_text="step", row=1, col=2)
    figure.update_yaxes(title_text="part of the largest", rangemode="tozero", row=1, col=2)
    styled(figure, height=560)
    figure.update_layout(title={"font": {"size": 14}}, legend={"y": -0.45})
    return add_slider(figure, "problem: ")


def _draw(figure: go.Figure, results: Results) -> None:
    found = cast(ScheduleContest, results["contest"])
    steps = [_step(found, place) for place in range(len(found.problems))]
    set_slider(figure, steps, active=0)
    for schedule, trace in zip(_OTHERS, figure.data[: len(_OTHERS)], strict=True):
        ratios = [found.ratio(problem, schedule) for problem in found.problems]
        trace.x, trace.y = as_list([each.mean for each in ratios]), list(found.problems)
        trace.error_x.array = as_list([each.high - each.mean for each in ratios])
        trace.error_x.arrayminus = as_list([each.mean - each.low for each in ratios])
    for trace in figure.data[len(_OTHERS) :]:
        trace.x = list(range(1, found.steps + 1))
    figure.data[-1].y = as_list(shape("linear", found.steps))


def _step(found: ScheduleContest, place: int) -> dict[str, Any]:
    """Return a step of the slider: norms over their largest, and rates, of one problem's first seed."""
    problem, norms = found.problems[place], found.norms[place, 0]
    curves = as_list(norms / np.max(norms)), as_list(found.refined[place, 0])
    traces = {number: {"y": curve} for number, curve in enumerate(curves, len(_OTHERS))}
    ratio = found.ratio(problem, "refined")
    told = f"{problem}: refined {ratio.mean:.3g} [{ratio.low:.3g}, {ratio.high:.3g}] of linear decay's loss"
    return slider_step(problem, place, {"title.text": told}, traces)


SCHEDULE_CONTEST = View(
    title="Schedules",
    notebook="schedules",
    help=_HELP,
    figure=_figure,
    compute=_CALL.compute,
    draw=_draw,
    code=_CALL.code,
    estimate=_estimate,
    controls=_ASKED,
)
