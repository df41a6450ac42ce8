"""The view of classes: outliers of the Gauss-Newton matrix beside what the class means explain."""

from typing import cast

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.colors import BLUE, GREEN, VERMILION
from workbench.curvature import ClassOutliers, class_outliers, ggn
from workbench.curvature.class_structure import count_classes
from workbench.explore.curvature_parts import product_seconds, search_cost
from workbench.explore.figure_data import as_list
from workbench.explore.style import styled
from workbench.explore.view import Cost, Results, Values, View
from workbench.problem import Problem

_HELP = """
<p><b>Above</b>: the largest eigenvalues of the Gauss–Newton matrix, those of the part that the class means
alone make, and those of what is left without it. Dotted: the number of classes.</p>
<p><b>Below, left</b>: cosines of the angles between the space of the class means and that of as many leading
eigenvectors. 1: a direction common to both; two random spaces would have cosines near 0. The bar is what
the residuals may have changed. <b>Right</b>: cosines between the class means. Two classes in blue pull the
parameters in opposite directions: they are those that the network confuses most.</p>
<p>Only for the cross entropy of one class index per example.</p>"""
_SERIES = (
    ("Gauss–Newton matrix", BLUE, "circle"),
    ("class means alone", VERMILION, "triangle-up"),
    ("without the class means", GREEN, "x"),
)


def _compute(problem: Problem, values: Values) -> Results:
    return {"classes": class_outliers(problem, tol=values["tolerance"], seed=values["seed"])}


def _code(values: Values) -> str:
    return (
        "import workbench as wb\n\n"
        f"classes = wb.curvature.class_outliers(problem, tol={values['tolerance']}, seed={values['seed']})\n"
        "classes.plot()\n"
        "classes.plot_cosines()\n"
        "classes.structure.plot_cosines()"
    )


def _estimate(problem: Problem, values: Values) -> Cost:
    """The search for the matrix' eigenpairs and a shorter one for the rest, and the class means."""
    count = count_classes(problem)
    operator = ggn(problem)
    search = search_cost(operator, count + 10, product_seconds(operator))
    means = 2 * count * problem.num_parameters * operator.dtype.itemsize
    return Cost(2 * search.seconds, search.bytes + means)


def _figure() -> go.Figure:
    """All traces without data: three series of eigenvalues, cosines of angles, cosines of means."""
    figure = make_subplots(
        2,
        2,
        specs=[[{"colspan": 2}, None], [{}, {}]],
        vertical_spacing=0.24,
        horizontal_spacing=0.14,
        subplot_titles=(
            "eigenvalues of the Gauss–Newton matrix",
            "class means to eigenvectors",
            "between class means",
        ),
    )
    for name, color, symbol in _SERIES:
        figure.add_scatter(
            name=name,
            mode="markers",
            marker={"color": color, "symbol": symbol, "size": 9},
            hovertemplate="%{x}: λ = %{y:.5g}<extra>%{fullData.name}</extra>",
            row=1,
            col=1,
        )
    figure.add_bar(
        marker={"color": BLUE},
        error_y={"type": "data", "array": []},
        hovertemplate="angle %{x}: cosine %{y:.4f} ± %{error_y.array:.1e}<extra></extra>",
        showlegend=False,
        row=2,
        col=1,
    )
    figure.add_heatmap(
        colorscale="RdBu_r",
        zmin=-1,
        zmax=1,
        colorbar={"thickness": 12, "len": 0.42, "y": 0.19},
        hovertemplate="classes %{x} and %{y}: cosine %{z:.3f}<extra></extra>",
        row=2,
        col=2,
    )
    figure.add_vline(x=0, line={"color": "gray", "dash": "dot", "width": 1}, row=1, col=1)
    figure.update_xaxes(title_text="rank", row=1, col=1)
    figure.update_yaxes(title_text="eigenvalue", type="log", exponentformat="power", row=1, col=1)
    figure.update_xaxes(title_text="principal angle", row=2, col=1)
    figure.update_yaxes(title_text="cosine", range=[0, 1.05], row=2, col=1)
    figure.update_xaxes(title_text="class", row=2, col=2)
    figure.update_yaxes(title_text="class", autorange="reversed", scaleanchor="x3", row=2, col=2)
    figure.update_xaxes(constrain="domain", row=2, col=2)
    figure.update_yaxes(constrain="domain", row=2, col=2)
    styled(figure, height=820)
    figure.update_layout(legend={"y": 0.53, "yanchor": "top"})
    return figure


def _draw(figure: go.Figure, results: Results) -> None:
    classes = cast(ClassOutliers, results["classes"])
    *series, bars, means = figure.data
    parts = classes.top.values, classes.structure.class_values, classes.rest.values
    for trace, values in zip(series, parts, strict=True):
        kept = values[values > values.max() * 1e-6]
        trace.x, trace.y = list(range(1, len(kept) + 1)), as_list(kept)
    count = classes.classes
    bars.x, bars.y = list(range(1, len(classes.cosines) + 1)), as_list(classes.cosines)
    bars.error_y.array = [classes.cosines_error] * len(classes.cosines)
    means.x = means.y = list(range(count))
    means.z = as_list(classes.structure.mean_cosines)
    for axis in (figure.layout.xaxis2, figure.layout.xaxis3, figure.layout.yaxis3):
        axis.dtick = max(1, count // 10)
    figure.layout.shapes[0].update(x0=count + 0.5, x1=count + 0.5)
    above = figure.layout.annotations[0]
    above.text = f"{classes.outliers} outliers above the bulk, {count} classes"


CLASSES = View(
    title="Classes",
    notebook="curvature",
    help=_HELP,
    figure=_figure,
    compute=_compute,
    draw=_draw,
    code=_code,
    estimate=_estimate,
    controls=("tolerance", "seed"),
)
