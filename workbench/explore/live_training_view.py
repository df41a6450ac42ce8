"""The view of a training that runs: loss, and sharpness against the threshold of stability, as it goes."""

import time
from collections.abc import Iterator
from typing import Any, cast

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.colors import BLUE, VERMILION
from workbench.explore.figure_data import as_list
from workbench.explore.style import BLUE_BAND, styled
from workbench.explore.training_cost import training_cost
from workbench.explore.view import Cost, Results, Values, View
from workbench.problem import Problem
from workbench.stability.full_batch import recorded_training
from workbench.trace import THRESHOLD, Trace

_REDRAW_SECONDS = 0.3
_HELP = """
<p>A copy of the model is trained on all data at once, from its first checkpoint if the problem has any, else
from where it is. <b>Above</b>: the loss. <b>Below</b>: the largest eigenvalue of the Hessian (for Adam, of
the Hessian as its preconditioner rescales it), with its residual as a band, and dashed the value above which
steps on a quadratic grow: 2/η, with momentum β (2 + 2β)/η, for Adam (2 + 2β₁)/((1 − β₁)η).</p>
<p>At the <b>edge of stability</b> the sharpness rises to that line and then stays about there while the loss
goes on falling, not in each step. Cancel ends the training and keeps what was recorded.</p>"""


def _compute(problem: Problem, values: Values) -> Iterator[Results]:
    """Train with gradients over all data; what was recorded so far is yielded as it goes."""
    drawn = time.monotonic()
    for recorder in recorded_training(
        problem,
        values["train_rate"],
        values["train_steps"],
        values["optimizer"],
        every=values["train_every"],
        seed=values["seed"],
    ):
        if recorder.steps and time.monotonic() - drawn > _REDRAW_SECONDS:
            yield {"trace": recorder.trace()}
            drawn = time.monotonic()
    yield {"trace": recorder.trace()}


def _code(values: Values) -> str:
    return (
        "from workbench.stability.full_batch import recorded_training\n\n"
        "*_, recorder = recorded_training(\n"
        f"    problem, {values['train_rate']}, {values['train_steps']}, {values['optimizer']!r}, "
        f"every={values['train_every']}, seed={values['seed']}\n"
        ")\n"
        "trace = recorder.trace()\n"
        "trace.plot()"
    )


def _estimate(problem: Problem, values: Values) -> Cost:
    """A gradient for each step, and what the recorder declares that measuring takes."""
    recorder = next(recorded_training(problem, values["train_rate"], 0, values["optimizer"]))
    recorder.close()
    measuring = recorder.cost()["gradients"].sum() / values["train_every"]
    return training_cost(recorder.problem, values["train_steps"] * (1 + measuring))


def _figure() -> go.Figure:
    """All traces without data: loss, band, sharpness, threshold."""
    figure = make_subplots(2, 1, shared_xaxes=True, vertical_spacing=0.08)
    above, below = {"row": 1, "col": 1}, {"row": 2, "col": 1}
    figure.add_scatter(name="loss", mode="lines", line={"color": BLUE}, **above)
    figure.add_scatter(
        mode="lines", line={"width": 0}, fill="toself", fillcolor=BLUE_BAND, hoverinfo="skip",
        name="residual", **below,
    )  # fmt: skip
    figure.add_scatter(
        name="sharpness", mode="lines+markers", line={"color": BLUE}, marker={"size": 4}, **below
    )
    figure.add_scatter(name="threshold", mode="lines", line={"color": VERMILION, "dash": "dash"}, **below)
    figure.update_yaxes(title_text="loss", type="log", **above)
    figure.update_yaxes(title_text="largest eigenvalue", rangemode="tozero", **below)
    figure.update_xaxes(title_text="step", **below)
    return styled(figure, height=560)


def _draw(figure: go.Figure, results: Results) -> None:
    trace = cast(Trace, results["trace"])
    loss, band, sharpness, threshold = figure.data
    recorded = [name for name in trace.every if name in trace.quantities]
    if not recorded:  # cancelled before the first step, or no finite gradient there
        return
    loss.x, loss.y = _line(trace, "loss")
    name = next(name for name in recorded if name.endswith("sharpness"))
    sharpness.x, sharpness.y = _line(trace, name)
    sharpness.name = name.replace("_", " ")
    threshold.x, threshold.y = _line(trace, THRESHOLD)
    line = trace.of(name).dropna()
    band.x = [*line["step"], *line["step"][::-1]]
    band.y = [*(line["value"] + line["error"]), *(line["value"] - line["error"])[::-1]]


def _line(trace: Trace, name: str) -> tuple[list[Any], list[Any]]:
    line = trace.of(name)
    return line["step"].tolist(), as_list(line["value"])


LIVE_TRAINING = View(
    title="Live training",
    notebook="stability",
    help=_HELP,
    figure=_figure,
    compute=_compute,
    draw=_draw,
    code=_code,
    estimate=_estimate,
    controls=("train_rate", "train_steps", "optimizer", "train_every", "seed"),
)
