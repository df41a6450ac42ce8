"""The view of trainings by methods that align environments: accuracy where none was trained."""

from typing import cast

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.domains import DomainContest, compare_domains
from workbench.domains.domain_contests import MEASURES, METHOD_COLORS, METHODS, SELECTIONS
from workbench.domains.stacked_training import ROWS
from workbench.explore.figure_data import as_list
from workbench.explore.one_call import OneCall
from workbench.explore.points_and_means import add_points_and_means
from workbench.explore.style import styled
from workbench.explore.view import Cost, Results, Values, View

_ASKED = ("shift", "weights", "seeds", "steps", "width")
_SECONDS = {"correlation": 0.004, "label": 0.0011, "diversity": 0.002}  # of a step of a run, on one core
_NUMBERS = {"correlation": 690_000, "label": 70_000, "diversity": 115_000}  # inputs of all environments
_TITLES = ("weight chosen in training environments", "weight chosen on the test (oracle)")
_HELP = """
<p>A small network is trained on some environments and tested on another, by eight methods, each at all
weights from the same seeds. <b>Left</b>: the weight that does best on examples kept aside in the training
environments, as one would choose. <b>Right</b>: the weight that does best on the test itself, which nobody
knows: what the method could do. Points are seeds, bars 95% intervals of the mean (Student's) over starts and
environments; other test digits are not in them.</p>
<p><b>erm</b> has no penalty; its weights change the decay. <b>gradient</b>, <b>hgp</b>, <b>hessian</b> match
gradients of the last layer; also Hessian times gradient; also the Hessian's exact diagonal.</p>"""


_CALL = OneCall("contest", compare_domains, "wb.domains.compare_domains", _ASKED)


def _estimate(problem: None, values: Values) -> Cost:
    runs = len(METHODS) * len(values["weights"]) * values["seeds"]
    seconds = _SECONDS[values["shift"]] * runs * values["steps"] * values["width"] / 32
    # Environments of all seeds, and what autograd keeps of the trainings that are done together.
    numbers = values["seeds"] * _NUMBERS[values["shift"]] + ROWS * (128 + 20 * values["width"])
    return Cost(seconds, 4.0 * numbers)


def _figure() -> go.Figure:
    """Points and means of every method, by both choices of the weight."""
    figure = make_subplots(1, 2, horizontal_spacing=0.1, shared_yaxes=True, subplot_titles=_TITLES)
    for column in range(1, len(SELECTIONS) + 1):
        for method in METHODS:
            add_points_and_means(figure, method, METHOD_COLORS[method], column, "weight %{text}: ")
    figure.update_yaxes(title_text="test accuracy", row=1, col=1)
    styled(figure, height=480)
    figure.update_layout(title={"font": {"size": 14}})
    return figure


def _draw(figure: go.Figure, results: Results) -> None:
    found = cast(DomainContest, results["contest"])
    traces = iter(figure.data)
    values = found.values[MEASURES.index("test_accuracy")]
    for selection in SELECTIONS:
        for method in METHODS:
            points, mean = next(traces), next(traces)
            if method not in found.methods:
                points.x = points.y = mean.x = mean.y = []
                continue
            weight = found.chosen(method, selection)
            seeds = values[found.methods.index(method), list(found.weights).index(weight)]
            points.x, points.y = [method] * len(seeds), as_list(seeds)
            points.text = [f"{weight:g}"] * len(seeds)
            centre, half = found.mean(method, selection=selection)
            mean.x, mean.y = [method], as_list([centre])
            mean.error_y.array = as_list([half])
    figure.layout.title.text = (
        f"{found.shift} shift: train {', '.join(found.names[:-1])}; test {found.names[-1]}"
    )


DOMAIN_CONTEST = View(
    title="Trainings",
    notebook="domain_alignment",
    help=_HELP,
    figure=_figure,
    compute=_CALL.compute,
    draw=_draw,
    code=_CALL.code,
    estimate=_estimate,
    controls=_ASKED,
)
