"""The view of second-order methods and their rivals on a small problem."""

from typing import cast

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.explore.figure_data import as_list
from workbench.explore.style import styled
from workbench.explore.view import Results, Values, View
from workbench.stability.smoothness import METHODS, OBJECTIVES, DescentContest, compare_descents
from workbench.stability.smoothness.descent_contests import LINES

_HELP = """
<p>The loss above the lowest that any method reached, <b>left</b> against iterations, <b>right</b> against the
work: gradients, with a product of the matrix counted as two. Dotted: where the problem counts as solved.</p>
<p>The regularised Newton method finds its radius on the way, a trial for a gradient. L-BFGS and gradient
descent have ten times the iterations, since theirs cost no products.</p>"""


def _compute(problem: None, values: Values) -> Results:
    objective = OBJECTIVES[values["objective"]]()
    found = compare_descents([objective], iterations=values["iterations"])
    if found.interrupted:
        raise KeyboardInterrupt
    return {"contest": found}


def _code(values: Values) -> str:
    return (
        "from workbench.stability.smoothness import OBJECTIVES, compare_descents\n\n"
        f"objective = OBJECTIVES[{values['objective']!r}]()\n"
        f"contest = compare_descents([objective], iterations={values['iterations']})\n"
        "contest.plot()\n"
        "print(contest.summary())"
    )


def _figure() -> go.Figure:
    """Traces without data: each method against iterations, then each against work, then the goals."""
    figure = make_subplots(1, 2, shared_yaxes=True, horizontal_spacing=0.04)
    for column in (1, 2):
        for method in METHODS:
            color, style = LINES[method]
            figure.add_scatter(
                name=method,
                legendgroup=method,
                showlegend=column == 1,
                mode="lines",
                line={"color": color, "dash": "dot" if style == ":" else "solid", "width": 2},
                hovertemplate="%{x:.4g}: %{y:.3g}<extra>%{fullData.name}</extra>",
                row=1,
                col=column,
            )
    for column in (1, 2):
        figure.add_scatter(
            name="solved",
            showlegend=column == 1,
            mode="lines",
            line={"color": "black", "dash": "dot", "width": 1},
            row=1,
            col=column,
        )
    figure.update_xaxes(title_text="iteration", row=1, col=1)
    figure.update_xaxes(title_text="gradients, a product counted as two", type="log", row=1, col=2)
    figure.update_yaxes(type="log", exponentformat="e")
    figure.update_yaxes(title_text="loss above the lowest", row=1, col=1)
    styled(figure, height=520)
    figure.update_layout(title={"font": {"size": 14}})
    return figure


def _draw(figure: go.Figure, results: Results) -> None:
    found = cast(DescentContest, results["contest"])
    known = dict(zip(found.methods, found.descents[0], strict=True))
    lowest = found.lowest(0)
    traces = iter(figure.data)
    ends = [0.0, 0.0]
    for column in range(2):
        for method in METHODS:
            trace = next(traces)
            trace.x, trace.y = [], []
            if (descent := known.get(method)) is None:
                continue
            where = descent.work if column else list(range(descent.iterations + 1))
            gap = descent.losses - lowest
            trace.x, trace.y = as_list(where), [float(each) if each > 0 else None for each in gap]
            ends[column] = max(ends[column], float(where[-1]))
    for trace, end in zip(traces, ends, strict=True):
        trace.x, trace.y = [1, end], [found.goal(0) - lowest] * 2
    figure.layout.title.text = found.problems[0]


DESCENTS = View(
    title="Descents",
    notebook="smoothness",
    help=_HELP,
    figure=_figure,
    compute=_compute,
    draw=_draw,
    code=_code,
    controls=("iterations", "objective"),
)
