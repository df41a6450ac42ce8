"""The view of what a minimum allows: the largest stable learning rate over the batch size."""

import time
from typing import cast

import plotly.graph_objects as go
import torch

from workbench.curvature import ggn
from workbench.explore.curvature_parts import product_seconds, search_products
from workbench.explore.figure_data import as_list
from workbench.explore.style import styled
from workbench.explore.view import Cost, Results, Values, View
from workbench.problem import Problem
from workbench.stability import LinearStability, linear_stability
from workbench.stability.example_curvature import example_factors
from workbench.stability.linear_limits import CONDITIONS
from workbench.stability.minima import EXACT_RANK, PROBES, fits_whole

_APPLICATIONS = 40  # that the exact limit of a batch size takes, about
_VECTORS = 600  # as long as the parameters, that the search and the sampled norm keep at most

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


def _estimate(problem: Problem, values: Values) -> Cost:
    """The examples' gradients, one by one, and what is solved with all of them or searched for instead."""
    started = time.monotonic()
    factors = example_factors(problem)
    first = next(factors)
    factors.close()
    reading = (time.monotonic() - started) * problem.num_examples
    if not fits_whole(first, problem.num_examples):
        operator = ggn(problem)
        products = search_products(problem.num_parameters, 1) + PROBES
        return Cost(reading + products * product_seconds(operator), _VECTORS * first[0].nbytes)
    rows = len(first) * problem.num_examples
    rank = min(rows, first.shape[1])
    solving = 0.0
    if rank <= EXACT_RANK:
        solving = len(_usable(problem, values)) * _APPLICATIONS * _application_seconds(rows, rank)
    return Cost(reading + solving, 2 * rows * first[0].nbytes + 60 * 8 * rank**2)


def _application_seconds(rows: int, rank: int) -> float:
    """Time both large products of one application of the second moment's step."""
    flat = torch.ones(rows, rank, dtype=torch.float64)
    matrix = torch.ones(rank, rank, dtype=torch.float64)
    started = time.monotonic()
    flat.T @ (flat @ matrix)
    return time.monotonic() - started


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
    estimate=_estimate,
    controls=("learning_rate", "batch_sizes", "replacement"),
)
