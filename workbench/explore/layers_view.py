"""The view of layers: where eigenvectors live, and how curved each layer is by itself."""

from typing import cast

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.colors import BLUE, VERMILION
from workbench.curvature import LayerCurvature, layer_curvature
from workbench.explore.curvature_parts import (
    eigenpairs_code,
    eigenpairs_of,
    operator_of,
    product_seconds,
    search_cost,
)
from workbench.explore.figure_data import as_list
from workbench.explore.style import SHARES, styled
from workbench.explore.view import Cost, Results, Values, View
from workbench.layout import layers_of
from workbench.problem import Problem

_BLOCK_PRODUCTS = 12  # for the one eigenvalue of a layer's block, about
_ROW_PIXELS = 22
_HELP = """
<p><b>Left</b>: how much of each eigenvector lies in each layer, as a share of its squared length; every
column adds up to 1.</p>
<p><b>Right</b>: the largest eigenvalue of each layer's own block, all other layers held fixed. None can
exceed the largest of the whole matrix (dashed); what is missing to it comes from layers that move
together.</p>"""


def _compute(problem: Problem, values: Values) -> Results:
    operator = operator_of(problem, values)
    pairs = eigenpairs_of(problem, values, operator)
    return {"layers": layer_curvature(operator, pairs=pairs, tol=values["tolerance"], seed=values["seed"])}


def _code(values: Values) -> str:
    return eigenpairs_code(values) + (
        f"layers = wb.curvature.layer_curvature(\n"
        f"    operator, pairs=pairs, tol={values['tolerance']}, seed={values['seed']}\n"
        ")\n"
        "layers.plot()\n"
        "layers.plot_blocks()"
    )


def _estimate(problem: Problem, values: Values) -> Cost:
    operator = operator_of(problem, values)
    product = product_seconds(operator)
    search = search_cost(operator, values["k"], product)
    blocks = _BLOCK_PRODUCTS * len(layers_of(problem.layout)) * product
    return Cost(search.seconds + blocks, search.bytes)


def _figure() -> go.Figure:
    """All traces without data: shares, blocks, and a line at the largest of the whole."""
    figure = make_subplots(
        1,
        2,
        shared_yaxes=True,
        column_widths=[0.6, 0.4],
        horizontal_spacing=0.14,
        subplot_titles=("share of each eigenvector", "largest eigenvalue of the block"),
    )
    left, right = {"row": 1, "col": 1}, {"row": 1, "col": 2}
    figure.add_heatmap(
        **SHARES,
        colorbar={"x": 0.54, "xanchor": "left", "thickness": 12},
        hovertemplate="eigenvector %{x}, %{y}: %{z:.1%}<extra></extra>",
        **left,
    )
    figure.add_bar(
        orientation="h",
        marker={"color": BLUE},
        error_x={"type": "data", "array": []},
        hovertemplate="%{y}: %{x:.5g} ± %{error_x.array:.1e}<extra></extra>",
        showlegend=False,
        **right,
    )
    figure.add_scatter(
        name="largest of the whole matrix",
        mode="lines+markers",
        line={"color": VERMILION, "dash": "dash"},
        marker={"symbol": "line-ns-open", "size": 12},
        hovertemplate="whole matrix: %{x:.5g}<extra></extra>",
        **right,
    )
    figure.update_xaxes(title_text="index of the eigenpair", dtick=1, **left)
    figure.update_xaxes(title_text="eigenvalue ± residual norm", rangemode="tozero", **right)
    figure.update_yaxes(type="category", automargin=True, autorange="reversed")
    return styled(figure)


def _draw(figure: go.Figure, results: Results) -> None:
    layers = cast(LayerCurvature, results["layers"])
    heatmap, bars, whole = figure.data
    shares = layers.shares
    names = shares.columns.tolist()
    heatmap.x, heatmap.y, heatmap.z = shares.index.tolist(), names, as_list(shares.T)
    frame = layers.frame()
    bars.x, bars.y = as_list(frame["largest"]), names
    bars.error_x.array = as_list(frame["residual"])
    known = layers.largest is not None
    whole.x, whole.y = ([layers.largest] * 2, [names[0], names[-1]]) if known else ([], [])
    figure.layout.xaxis.dtick = max(1, len(shares) // 12)
    figure.layout.height = max(460, 180 + _ROW_PIXELS * len(names))


LAYERS = View(
    title="Layers",
    notebook="curvature",
    help=_HELP,
    figure=_figure,
    compute=_compute,
    draw=_draw,
    code=_code,
    estimate=_estimate,
    controls=("operator", "k", "which", "tolerance", "seed"),
)
