"""The view of pictures coded under several families: what each saves, and at what size."""

from typing import cast

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.compression import EntropyContest, compare_entropy_models
from workbench.compression.contests import COLORS
from workbench.compression.entropy_network import KINDS
from workbench.explore.figure_data import as_list
from workbench.explore.one_call import OneCall
from workbench.explore.points_and_means import add_points_and_means
from workbench.explore.style import styled
from workbench.explore.view import Cost, Results, Values, View

_ASKED = ("context", "pictures", "weight", "step", "steps", "seed")
_SECONDS = {"frequency": 0.005, "region": 0.006, "neighbours": 0.014}  # of a step of a fit, on one core
_HELP = """
<p>The same symbols of the same pictures, at the same distortion, under four families of distributions:
normal, Laplace, one shape that is fitted for all (shared), and a shape for each context (generalized). Each
picture is coded by networks that were fitted to the others. <b>Left</b>: bits of the range coder for each
pixel. <b>Right</b>: percent saved beside the first of them. Points are pictures, bars 95% intervals of
the mean over them (Student's).</p>
<p><b>context</b> is what scales and shapes depend on: the frequency; also whether the block matters; also the
decoded coefficients around. <b>weight</b> is how much more an error counts inside the region of
interest.</p>"""


_CALL = OneCall("contest", compare_entropy_models, "wb.compression.compare_entropy_models", _ASKED)


def _estimate(problem: None, values: Values) -> Cost:
    return Cost(_SECONDS[values["context"]] * values["steps"] * values["pictures"] * len(KINDS), 0.0)


def _figure() -> go.Figure:
    """Points and means of every family, for the rate and for what is saved."""
    figure = make_subplots(1, 2, horizontal_spacing=0.14)
    for column in (1, 2):
        for kind in KINDS:
            add_points_and_means(figure, kind, COLORS[kind], column, "%{text}: ")
    figure.update_yaxes(title_text="bits per pixel", rangemode="tozero", row=1, col=1)
    figure.update_yaxes(title_text="saved (%)", row=1, col=2)
    styled(figure, height=460)
    figure.update_layout(title={"font": {"size": 14}})
    return figure


def _draw(figure: go.Figure, results: Results) -> None:
    found = cast(EntropyContest, results["contest"])
    traces = iter(figure.data)
    for saved in (False, True):
        for kind in KINDS:
            points, mean = next(traces), next(traces)
            if kind not in found.kinds:
                points.x = points.y = mean.x = mean.y = []
                continue
            sizes = found.coded[found.kinds.index(kind)]
            values = 100 * (1 - sizes / found.coded[0]) if saved else sizes / found.pixels
            points.x, points.y, points.text = [kind] * len(values), as_list(values), list(found.pictures)
            centre, half = found.saving(kind) if saved else found.rate(kind)
            mean.x, mean.y = [kind], as_list([centre])
            mean.error_y.array = as_list([half])
    figure.layout.yaxis2.title.text = f"saved beside {found.kinds[0]} (%)"
    inside, outside = found.quality.mean(1)
    figure.layout.title.text = (
        f"context {found.context}, weight {found.weight:g}: {inside:.1f} dB inside the region, "
        f"{outside:.1f} dB outside; sizes within {100 * found.overhead:.2f} % of estimates"
    )


ENTROPY_CONTEST = View(
    title="Pictures",
    notebook="entropy_models",
    help=_HELP,
    figure=_figure,
    compute=_CALL.compute,
    draw=_draw,
    code=_CALL.code,
    estimate=_estimate,
    controls=_ASKED,
)
