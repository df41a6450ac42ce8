"""The view of trainings with several kinds of attention: every seed, and means with intervals."""

from typing import cast

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.attention import AttentionContest, compare_attention
from workbench.attention.entropy import COLORS
from workbench.attention.trainings import MEASURES
from workbench.explore.figure_data import as_list
from workbench.explore.one_call import OneCall
from workbench.explore.points_and_means import add_points_and_means
from workbench.explore.style import styled
from workbench.explore.view import Cost, Results, Values, View
from workbench.problems.transformer import ATTENTION_KINDS

_ASKED = ("task", "epochs", "width", "blocks", "seeds")
_SHOWN = ("test_loss", "test_accuracy")
_STEPS = {"digits-transformer": 23, "text-gpt": 122}  # of an epoch
_HELP = """
<p>The same small transformer, trained with each kind of attention from the same starts and in the same order
of batches. <b>Points</b> are seeds, <b>bars</b> 95% intervals of the mean over them (Student's).</p>
<p>All but nalaformer have the same parameters. That one has a convolution over neighbouring tokens and a
gate, too, so that a difference is not one of attention alone.</p>"""


_CALL = OneCall("contest", compare_attention, "wb.attention.compare_attention", _ASKED)


def _estimate(problem: None, values: Values) -> Cost:
    """From 30 milliseconds a step of the default network, measured on one core."""
    steps = values["epochs"] * _STEPS[values["task"]] * values["seeds"] * len(ATTENTION_KINDS)
    return Cost(0.03 * steps * values["width"] / 32 * values["blocks"] / 2, 0.0)


def _figure() -> go.Figure:
    """Points and means of every kind, for the loss and for the accuracy."""
    figure = make_subplots(1, 2, horizontal_spacing=0.14)
    for column in range(1, len(_SHOWN) + 1):
        for kind in ATTENTION_KINDS:
            add_points_and_means(figure, kind, COLORS[kind], column)
    figure.update_yaxes(title_text="held-out loss", row=1, col=1)
    figure.update_yaxes(title_text="held-out accuracy", row=1, col=2)
    styled(figure, height=460)
    figure.update_layout(title={"font": {"size": 14}})
    return figure


def _draw(figure: go.Figure, results: Results) -> None:
    found = cast(AttentionContest, results["contest"])
    traces = iter(figure.data)
    for measure in _SHOWN:
        for kind in ATTENTION_KINDS:
            points, mean = next(traces), next(traces)
            known = kind in found.kinds
            values = found.values[MEASURES.index(measure), found.kinds.index(kind)] if known else []
            points.x, points.y = [kind] * len(values), as_list(values) if known else []
            intervals = [found.mean(kind, measure)] if known else []
            mean.x, mean.y = [kind] * known, as_list([value for value, _ in intervals])
            mean.error_y.array = as_list([half for _, half in intervals])
    size = f"width {found.width}, {found.blocks} blocks"
    figure.layout.title.text = f"{found.task}: {size}, {found.epochs} epochs, {found.seeds} seeds"


CONTEST = View(
    title="Trainings",
    notebook="linear_attention",
    help=_HELP,
    figure=_figure,
    compute=_CALL.compute,
    draw=_draw,
    code=_CALL.code,
    estimate=_estimate,
    controls=_ASKED,
)
