"""The view of a training that runs: loss, and sharpness against the threshold of stability, as it goes."""

import time
from collections.abc import Iterator
from typing import Any, cast

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.colors import BLUE, VERMILION
from workbench.explore.figure_data import as_list
from workbench.explore.style import BLUE_BAND, styled
from workbench.explore.view import Results, Values, View
from workbench.problem import Problem
from workbench.progress import progress
from workbench.recorder import Recorder
from workbench.stability.full_batch import begin_training, make_optimizer, step_on_all_data
from workbench.stability.quantities import PreconditionedSharpness, Sharpness
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
    copy = begin_training(problem)
    optimizer = make_optimizer(copy, values["optimizer"], values["train_rate"])
    kind = PreconditionedSharpness if values["optimizer"] == "adam" else Sharpness
    quantities = ["loss", kind(seed=values["seed"]), THRESHOLD]
    recorder = Recorder(copy, optimizer, quantities, every=values["every"])
    drawn = time.monotonic()
    try:
        with progress("training", values["train_steps"]) as advance:
            for _ in range(values["train_steps"]):
                if not step_on_all_data(copy, optimizer):
                    break
                recorder.step()
                advance(1)
                if time.monotonic() - drawn > _REDRAW_SECONDS:
                    yield {"trace": recorder.trace()}
                    drawn = time.monotonic()
    except KeyboardInterrupt:
        pass  # what was recorded is kept
    yield {"trace": recorder.trace()}


def _code(values: Values) -> str:
    kind = "PreconditionedSharpness" if values["optimizer"] == "adam" else "Sharpness"
    return (
        "import workbench as wb\n"
        "from workbench.stability.full_batch import begin_training, make_optimizer, step_on_all_data\n"
        f"from workbench.stability.quantities import {kind}\n\n"
        "copy = begin_training(problem)\n"
        f"optimizer = make_optimizer(copy, {values['optimizer']!r}, {values['train_rate']})\n"
        f"quantities = ['loss', {kind}(seed={values['seed']}), 'stability_threshold']\n"
        f"recorder = wb.Recorder(copy, optimizer, quantities, every={values['every']})\n"
        f"for _ in range({values['train_steps']}):\n"
        "    if not step_on_all_data(copy, optimizer):\n"
        "        break\n"
        "    recorder.step()\n"
        "trace = recorder.trace()\n"
        "trace.plot()"
    )


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
    controls=("train_rate", "train_steps", "optimizer", "every", "seed"),
)
