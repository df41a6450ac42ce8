"""The view of the largest eigenvalues of batches, measured and predicted, over the batch size."""

from typing import cast

import numpy as np
import plotly.graph_objects as go

from workbench.colors import BLUE, GREEN, VERMILION
from workbench.curvature import BatchSpectra, batch_spectra
from workbench.curvature.batch_spectra import BELOW
from workbench.curvature.subsampling import NOISE_BATCHES, NOISE_SIZE
from workbench.explore.batch_cost import batch_cost, sizes_code, usable_sizes
from workbench.explore.curvature_parts import lanczos_products, search_products
from workbench.explore.style import styled
from workbench.explore.view import Cost, Results, Values, View
from workbench.problem import Problem

_HELP = """
<p>The <b>points</b> are the largest eigenvalues of random batches' matrices, means over the batches with two
standard errors; the gray lines are those of all examples. Small batches see steeper valleys.</p>
<p><b>Green</b>: predicted from all examples and the noise along their eigenvectors, to second order.
<b>Orange, dotted</b>: predicted as if the noise were the same in all directions. A <b>hollow</b> point
drowns: its direction is noisier in such a batch than its eigenvalue is large, and no prediction holds.</p>"""


def _compute(problem: Problem, values: Values) -> Results:
    spectra = batch_spectra(
        problem,
        usable_sizes(problem, values),
        min(values["k"], problem.num_parameters),
        matrix=values["matrix"],
        batches=values["batches"],
        probes=values["probes"],
        seed=values["seed"],
    )
    return {"spectra": spectra}


def _code(values: Values) -> str:
    return (
        "import workbench as wb\n\n"
        f"{sizes_code(values)}"
        f"spectra = wb.curvature.batch_spectra(\n"
        f"    problem, sizes, min({values['k']}, problem.num_parameters), matrix={values['matrix']!r},\n"
        f"    batches={values['batches']}, probes={values['probes']}, seed={values['seed']}\n"
        ")\n"
        "spectra.plot()"
    )


def _estimate(problem: Problem, values: Values) -> Cost:
    """From the times of products with batches of each size, and with all examples."""
    matrix, k, n = values["matrix"], values["k"], problem.num_parameters
    everything = batch_cost(problem, matrix, problem.num_examples)
    seconds = everything.of(search_products(n, k + BELOW) + k + BELOW + values["probes"])
    seconds += NOISE_BATCHES * batch_cost(problem, matrix, NOISE_SIZE).of(k + BELOW + values["probes"])
    for size in usable_sizes(problem, values):
        seconds += values["batches"] * batch_cost(problem, matrix, size).of(lanczos_products(k))
    return Cost(seconds, (3 * (k + BELOW) + 60) * n * problem.dtype.itemsize)


def _figure() -> go.Figure:
    """All traces without data: all examples, both predictions, points that stand out and that drown."""
    figure = go.Figure()
    lines = (
        ("all examples", {"color": "#999999", "width": 1}),
        ("predicted, isotropic noise", {"color": VERMILION, "dash": "dot"}),
        ("predicted, noise along the eigenvectors", {"color": GREEN}),
    )
    for name, line in lines:
        figure.add_scatter(
            name=name,
            mode="lines",
            line=line,
            hovertemplate="λ = %{y:.5g}<extra>%{fullData.name}</extra>",
        )
    for name, symbol in (("batches ± 2 stderr", "circle"), ("same, drowned in noise", "circle-open")):
        figure.add_scatter(
            name=name,
            mode="markers",
            marker={"color": BLUE, "symbol": symbol, "size": 9},
            error_y={"type": "data", "array": [], "color": BLUE},
            hovertemplate="batch of %{customdata[0]}, λ number %{customdata[1]}: %{y:.5g} ± "
            "%{error_y.array:.2g}"
            "<extra>%{fullData.name}</extra>",
        )
    figure.update_xaxes(title_text="batch size (examples); side by side, the largest first", type="log")
    figure.update_yaxes(title_text="largest eigenvalues", rangemode="tozero")
    return styled(figure)


def _draw(figure: go.Figure, results: Results) -> None:
    spectra = cast(BatchSpectra, results["spectra"])
    places = spectra.places
    curves = (np.broadcast_to(spectra.full, places.shape), spectra.isotropic, spectra.along)
    for trace, values in zip(figure.data[:3], curves, strict=True):
        trace.x, trace.y = _broken_lines(places), _broken_lines(values)
    for trace, drowned in zip(figure.data[3:], (False, True), strict=True):
        shown = spectra.drowned == drowned
        trace.x, trace.y = places[shown].tolist(), spectra.measured[shown].tolist()
        trace.error_y.array = (2 * spectra.measured_stderr[shown]).tolist()
        at, index = np.nonzero(shown)
        trace.customdata = np.column_stack([spectra.sizes[at], index + 1]).tolist()
    figure.layout.xaxis.tickvals = spectra.sizes.tolist()
    figure.layout.yaxis.title.text = f"largest eigenvalues of the {spectra.matrix}"


def _broken_lines(values: np.ndarray) -> list[float | None]:
    """Return the columns of values one after the other, with a gap after each."""
    return [value for column in values.T.tolist() for value in (*column, None)]


BATCH_EIGENVALUES = View(
    title="Batch eigenvalues",
    notebook="batch_hessian",
    help=_HELP,
    figure=_figure,
    compute=_compute,
    draw=_draw,
    code=_code,
    estimate=_estimate,
    controls=("matrix", "sizes", "k", "batches", "probes", "seed"),
)
