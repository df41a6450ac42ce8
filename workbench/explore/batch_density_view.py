"""The view of the spectral density of one batch beside that of all examples, with a slider over its size."""

from typing import Any, cast

import numpy as np
import plotly.graph_objects as go

from workbench.colors import BLUE, VERMILION
from workbench.curvature import BatchDensities, batch_densities
from workbench.curvature.batch_densities import KNOWN
from workbench.curvature.subsampling import NOISE_BATCHES, NOISE_SIZE
from workbench.explore.batch_cost import batch_cost, sizes_code, usable_sizes
from workbench.explore.curvature_parts import lanczos_products
from workbench.explore.slider import add_slider, set_slider, slider_step
from workbench.explore.style import styled
from workbench.explore.view import Cost, Results, Values, View
from workbench.problem import Problem

_HELP = """
<p><b>Gray</b>: how many eigenvalues of all examples' matrix lie where, as a share per unit of λ.
<b>Blue</b>: the same for one random batch; the slider below chooses its size, and a larger batch holds the
smaller ones.</p>
<p><b>Orange, dashed</b>: what the batch would show if its noise were the same in all directions: the gray
spectrum convolved, freely, with a semicircle, whose edges are the dotted lines. The distance above is the
largest difference of its distribution function from the batch's.</p>"""


def _compute(problem: Problem, values: Values) -> Results:
    densities = batch_densities(
        problem,
        usable_sizes(problem, values),
        matrix=values["matrix"],
        probes=values["probes"],
        steps=values["steps"],
        seed=values["seed"],
    )
    return {"densities": densities}


def _code(values: Values) -> str:
    return (
        "import workbench as wb\n\n"
        f"{sizes_code(values)}"
        f"densities = wb.curvature.batch_densities(\n"
        f"    problem, sizes, matrix={values['matrix']!r}, probes={values['probes']}, "
        f"steps={values['steps']}, seed={values['seed']}\n"
        ")\n"
        "densities.plot(size=sizes[0])"
    )


def _estimate(problem: Problem, values: Values) -> Cost:
    """From the times of products with batches of each size, and with all examples."""
    matrix, n = values["matrix"], problem.num_parameters
    products = values["probes"] * min(values["steps"], n) + lanczos_products(KNOWN)
    noise = batch_cost(problem, matrix, NOISE_SIZE).of(KNOWN + values["probes"])
    seconds = NOISE_BATCHES * noise
    for size in (*usable_sizes(problem, values), problem.num_examples):
        seconds += batch_cost(problem, matrix, size).of(products)
    vectors = min(values["probes"], 16) * (values["steps"] + 1) + 3 * KNOWN + 60
    return Cost(seconds, vectors * n * problem.dtype.itemsize)


def _figure() -> go.Figure:
    """All traces without data: all examples, the batch, the law, the edges of its noise."""
    figure = go.Figure()
    hover = {"hovertemplate": "λ = %{x:.5g}<br>density %{y:.3g}<extra>%{fullData.name}</extra>"}
    figure.add_scatter(
        name="all examples",
        mode="lines",
        line={"color": "#999999", "width": 1},
        fill="tozeroy",
        fillcolor="rgba(128,128,128,0.4)",
        **hover,
    )
    figure.add_scatter(name="one batch", mode="lines", line={"color": BLUE, "width": 1.5}, **hover)
    figure.add_scatter(
        name="all examples + isotropic noise",
        mode="lines",
        line={"color": VERMILION, "dash": "dash"},
        **hover,
    )
    figure.add_scatter(
        name="edge of the noise",
        mode="lines",
        line={"color": "#767676", "dash": "dot", "width": 1},
        hovertemplate="λ = %{x:.4g}<extra>%{fullData.name}</extra>",
    )
    figure.add_annotation(text="", x=0, xref="paper", y=1.06, yref="paper", showarrow=False, xanchor="left")
    figure.update_xaxes(title_text="eigenvalue")
    figure.update_yaxes(title_text="density", type="log", dtick=1, exponentformat="power")
    styled(figure, height=520)
    figure.update_layout(legend={"y": -0.42}, margin={"b": 160})
    return add_slider(figure, "batch size ")


def _draw(figure: go.Figure, results: Results) -> None:
    densities = cast(BatchDensities, results["densities"])
    full, _ = densities.density()
    top = 2 * max(full.max(), *(densities.density(int(size))[0].max() for size in densities.sizes))
    rows = densities.comparison().to_dict("records")
    steps = [_step(densities, index, rows[index], top) for index in range(len(densities.sizes))]
    figure.data[0].x, figure.data[0].y = _short(densities.grid), _visible(densities, full)
    figure.layout.yaxis.range = np.log10([densities.floor, top]).tolist()
    figure.layout.xaxis.title.text = f"eigenvalue of the {densities.matrix}"
    set_slider(figure, steps, active=0)


def _step(densities: BatchDensities, index: int, row: dict[Any, Any], top: float) -> dict[str, Any]:
    """Return a step of the slider, which puts one batch into the figure without a kernel."""
    batch, _ = densities.density(row["batch_size"])
    grid, edge = _short(densities.grid), row["edge"]
    curves = [_visible(densities, each) for each in (batch, densities.laws[index])]
    edges = [densities.floor, top, None] * 2
    text = f"one batch of {row['batch_size']}: λ from {row['smallest']:.3g} to {row['largest']:.3g}"
    if edge:
        text += f"; {row['outside']:.2%} beyond the edge ±{edge:.2g}; distance {row['distance']:.2f}"
    traces: dict[int, dict[str, Any]] = {
        number: {"x": grid, "y": curve} for number, curve in enumerate(curves, 1)
    }
    traces[3] = {"x": [-edge, -edge, None, edge, edge, None], "y": edges}
    return slider_step(str(row["batch_size"]), index, {"annotations[0].text": text}, traces)


def _visible(densities: BatchDensities, density: np.ndarray) -> list[float]:
    """Return a density for the logarithmic axis: where there is nothing to see it is below the axis."""
    return _short(np.maximum(density, densities.floor / 10))


def _short(values: np.ndarray) -> list[float]:
    """Return values to five digits, which is what a picture can show: a page holds all steps as text."""
    return [float(f"{value:.5g}") for value in values]


BATCH_DENSITY = View(
    title="Batch density",
    notebook="batch_hessian",
    help=_HELP,
    figure=_figure,
    compute=_compute,
    draw=_draw,
    code=_code,
    estimate=_estimate,
    controls=("matrix", "sizes", "probes", "steps", "seed"),
)
