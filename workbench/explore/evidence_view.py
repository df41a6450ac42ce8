"""The view of evidence: class sensitivity over the layers, a randomisation, and a table of metrics."""

from collections.abc import Iterator
from typing import cast

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.colors import BLUE, GREEN, ORANGE, SKY, VERMILION
from workbench.explore.evidence_rows import add_table, draw_table
from workbench.explore.figure_data import as_list
from workbench.explore.saliency_controls import layer_list, method_list
from workbench.explore.saliency_parts import passes_cost
from workbench.explore.style import styled
from workbench.explore.view import Cost, Results, Values, View
from workbench.problem import Problem
from workbench.saliency.evidence import EvidenceTable
from workbench.saliency.experiments import (
    Cascade,
    LayerStory,
    cascade,
    find_examples,
    judge,
    layer_story,
    usual_layers,
)

_LINES = 18  # methods that are drawn, at most
_COLORS = (BLUE, VERMILION, GREEN, ORANGE, SKY, "#767676")
_DASHES = ("solid", "dash", "dot")
_TABLE = 2 * _LINES  # place of the table among the traces
_HELP = """
<p><b>Left</b>: the correlation of the maps for the likeliest and the unlikeliest class, over the layers: 1 is
a map that shows the same whatever it is asked. Hollow: it cannot be otherwise there. <b>Right</b>: how
similar maps at the last layer but one stay to those of the trained network while its modules are drawn anew,
from the output down. A map that stays similar does not show what was learned. Bars are 95 % bootstrap
intervals over the pictures.</p>
<p><b>Below</b>: metrics of the methods at the last two layers, and of three maps that know nothing of the
network: random, the centre, edges. The darker the better within a column; the arrow says which way is better.
What does not beat the last three rows has not been shown to explain anything.</p>"""


def _compute(problem: Problem, values: Values) -> Iterator[Results]:
    if len(values["compared"]) > _LINES:
        raise ValueError(f"{len(values['compared'])} methods: this view draws {_LINES} at most")
    inputs = find_examples(problem, "all", values["pictures"]).inputs
    at = usual_layers(problem, values["layers"])
    methods, score, seed = values["compared"], values["score"], values["seed"]
    found: Results = {"story": layer_story(problem.model, inputs, methods, at, score=score, seed=seed)}
    yield found
    stages = cascade(problem.model, inputs, methods, at[-2:], stages=values["stages"], score=score, seed=seed)
    found = {**found, "cascade": stages}
    yield found
    table = judge(
        problem,
        values["methods"],
        values["layers"],
        values["pictures"],
        steps=values["metric_steps"],
        score=score,
        seed=seed,
    )
    yield {**found, "evidence": table}


def _code(values: Values) -> str:
    score, seed = f"score={values['score']!r}", f"seed={values['seed']}"
    return (
        "import workbench as wb\n"
        "from workbench.saliency import experiments\n\n"
        f"inputs = experiments.find_examples(problem, 'all', {values['pictures']}).inputs\n"
        f"layers = experiments.usual_layers(problem, {values['layers']!r})\n"
        f"methods = {values['compared']!r}\n"
        f"story = experiments.layer_story(problem.model, inputs, methods, layers, {score}, {seed})\n"
        "cascade = experiments.cascade(\n"
        f"    problem.model, inputs, methods, layers[-2:], stages={values['stages']}, {score}, {seed}\n"
        ")\n"
        "evidence = experiments.judge(\n"
        f"    problem, {values['methods']!r}, {values['layers']!r}, {values['pictures']},\n"
        f"    steps={values['metric_steps']}, {score}, {seed}\n"
        ")\n"
        "story.plot()\ncascade.plot()\nevidence.plot()"
    )


def _estimate(problem: Problem, values: Values) -> Cost:
    """Passes for the story and the stages, and two forward passes for each step, explainer and floor."""
    explainers = 2 * len(values["methods"]) + 3
    passes = 4 + values["stages"] + explainers * (values["metric_steps"] + 1)
    return passes_cost(problem, passes, values["pictures"])


def _figure() -> go.Figure:
    """All traces without data: a line per method on the left and on the right, and the table."""
    figure = make_subplots(
        2,
        2,
        specs=[[{}, {}], [{"colspan": 2}, None]],
        vertical_spacing=0.2,
        horizontal_spacing=0.13,
        subplot_titles=("class sensitivity: lower is better", "networks drawn anew", "metrics and floors"),
    )
    for column in (1, 2):
        for line in range(_LINES):
            color = _COLORS[line % len(_COLORS)]
            figure.add_scatter(
                mode="lines+markers",
                line={"color": color, "dash": _DASHES[line // len(_COLORS)]},
                marker={"color": color, "size": 8},
                error_y={"type": "data", "symmetric": False, "color": color, "thickness": 1.2},
                legendgroup=str(line),
                showlegend=False,
                hovertemplate="%{x}: %{y:.3f}<extra>%{fullData.name}</extra>",
                row=1,
                col=column,
            )
    add_table(figure, row=2, col=1)
    figure.update_yaxes(title_text="correlation", row=1, col=1)
    figure.update_yaxes(title_text="Spearman correlation", row=1, col=2)
    figure.update_xaxes(title_text="modules drawn anew", row=1, col=2)
    styled(figure, height=820)
    figure.update_layout(legend={"y": 1.12, "x": 0}, margin={"t": 100})
    return figure


def _draw(figure: go.Figure, results: Results) -> None:
    _draw_story(figure, cast(LayerStory, results["story"]))
    _draw_cascade(figure, cast(Cascade | None, results.get("cascade")))
    evidence = cast(EvidenceTable | None, results.get("evidence"))
    draw_table(figure.data[_TABLE], evidence)
    if evidence is not None:
        figure.layout.height = 620 + 32 * len(evidence.evidence)


def _draw_story(figure: go.Figure, story: LayerStory) -> None:
    single = [layer for layer in story.layers if layer not in story.combinations]
    by_method = story.evidence["class sensitivity"]
    for line, trace in enumerate(figure.data[:_LINES]):
        trace.visible = line < len(by_method)
        if not trace.visible:
            continue
        method = story.methods[line]
        found = [by_method[method][layer] for layer in single]
        mean = np.array([each.mean for each in found])
        trace.name, trace.showlegend = method, True
        trace.x, trace.y = single, as_list(mean)
        trace.error_y.array = as_list(np.array([each.high for each in found]) - mean)
        trace.error_y.arrayminus = as_list(mean - np.array([each.low for each in found]))
        blind = [bool(story.blind[method][layer]) for layer in single]
        trace.marker.symbol = ["circle-open" if each else "circle" for each in blind]


def _draw_cascade(figure: go.Figure, found: Cascade | None) -> None:
    for line, trace in enumerate(figure.data[_LINES:_TABLE]):
        trace.visible = found is not None and line < len(found.methods)
        if found is None or not trace.visible:
            trace.x, trace.y = [], []
            continue
        layer = found.layers[max(len(found.layers) - 2, 0)]  # at the last one some maps are constant
        table = found.evidence[found.methods[line]][layer].curve_frame()
        trace.name = found.methods[line]
        trace.x, trace.y = table["position"].tolist(), as_list(table["mean"])
        trace.error_y.array = as_list(table["high"] - table["mean"])
        trace.error_y.arrayminus = as_list(table["mean"] - table["low"])
        figure.layout.annotations[1].text = f"networks drawn anew, maps at {layer}"


EVIDENCE = View(
    title="Evidence",
    notebook="saliency",
    help=_HELP,
    figure=_figure,
    compute=_compute,
    draw=_draw,
    code=_code,
    estimate=_estimate,
    controls=("methods", "compared", "layers", "score", "pictures", "metric_steps", "stages", "seed"),
    makers={"methods": method_list, "compared": method_list, "layers": layer_list},
)
