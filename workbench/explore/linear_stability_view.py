"""The view of what a minimum allows: the largest stable learning rate over the batch size."""

from typing import cast

import plotly.graph_objects as go

from workbench.explore.figure_data import as_list
from workbench.explore.style import styled
from workbench.explore.view import Results, Values, View
from workbench.problem import Problem
from workbench.stability import LinearStability, linear_stability
from workbench.stability.linear_limits import CONDITIONS

_DASHES = {"-": "solid", "--": "dash", ":": "dot"}
_HELP = """
<p>The largest learning rate with which SGD stays where this network stands, against the batch size. The thick
<b>blue</b> line is exact: the mean square distance to the minimum shrinks below and grows above. Lines above
it are necessary conditions, the dashed green one below it is sufficient. The dotted orange line, 2/tr H, is
true at batch size 1 and says nothing of larger ones.</p>
<p>The theory is of squared errors and of networks that fit every example. The title says if this one does
not: the lines are then of the Gauss–Newton matrix, and SGD has no place to rest. Large problems have bounds
alone.</p>"""


def _usable(problem: Problem, values: Values) -> list[int]:
    return sorted({min(size, problem.num_examples) for size in values["batch_sizes"]})


def _compute(problem: Problem, values: Values) -> Results:
    limits = linear_stability(
        problem, values["learning_rate"], _usable(problem, values), replacement=values["replacement"]
    )
    return {"limits": limits}


def _code(values: Values) -> str:
    return (
        "import workbench as wb\n\n"
        f"sizes = sorted({{min(size, problem.num_examples) for size in {values['batch_sizes']}}})\n"
        "limits = wb.stability.linear_stability(\n"
        f"    problem, {values['learning_rate']}, sizes, replacement={values['replacement']}\n"
        ")\n"
        "limits.plot()\n"
        "print(limits)"
    )


def _figure() -> go.Figure:
    """All traces without data: one for each condition, and the learning rate asked about."""
    figure = go.Figure()
    for each in CONDITIONS.values():
        color = "#767676" if each.color == "0.4" else each.color
        figure.add_scatter(
            name=each.label,
            mode="lines+markers",
            line={"color": color, "dash": _DASHES[each.line], "width": 3.5 if each.kind == "exact" else 1.5},
            hovertemplate="batch of %{x}: η ≤ %{y:.4g}<extra>%{fullData.name}</extra>",
        )
    figure.add_scatter(
        name="the learning rate asked about", mode="lines", line={"color": "#767676", "width": 1}
    )
    figure.update_xaxes(title_text="batch size (examples)", type="log")
    figure.update_yaxes(title_text="largest stable learning rate", type="log")
    figure.update_layout(title={"font": {"size": 13}})
    return styled(figure, height=560)


def _draw(figure: go.Figure, results: Results) -> None:
    limits = cast(LinearStability, results["limits"])
    sizes = limits.batch_sizes.tolist()
    *lines, asked = figure.data
    for line, name in zip(lines, CONDITIONS, strict=True):
        line.x, line.y = sizes, as_list(limits.limits[name])
    asked.x, asked.y = sizes, [limits.learning_rate] * len(sizes)
    figure.layout.xaxis.tickvals = sizes
    marks = [] if limits.interpolates else [f"does NOT fit every example (loss {limits.loss:.3g})"]
    marks += [] if limits.quadratic else ["NOT a squared error"]
    figure.layout.title.text = ", ".join(marks) or limits.summary().splitlines()[0]


LINEAR_STABILITY = View(
    title="Batch size and learning rate",
    notebook="stability",
    help=_HELP,
    figure=_figure,
    compute=_compute,
    draw=_draw,
    code=_code,
    controls=("learning_rate", "batch_sizes", "replacement"),
)
