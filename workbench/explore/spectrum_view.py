"""The view of a spectrum: extreme eigenpairs with their residuals beside the density."""

from typing import Any, cast

import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.colors import BLUE, VERMILION
from workbench.curvature import Eigenpairs, SpectralDensity, spectral_density
from workbench.explore.controls import CONTROL_LAYOUT, CONTROL_STYLE
from workbench.explore.curvature_parts import (
    eigenpairs_code,
    eigenpairs_of,
    operator_of,
    product_seconds,
    search_cost,
)
from workbench.explore.figure_data import as_list
from workbench.explore.style import BLUE_BAND, styled
from workbench.explore.view import Cost, Results, Values, View
from workbench.problem import Problem

_HELP = """
<p><b>Left</b>: the eigenvalues asked for. The bar of a point is its residual norm: within that distance there
is an eigenvalue. An orange cross has not converged.</p>
<p><b>Right</b>: how many eigenvalues lie where, as a share per unit of λ. The band is two standard errors
over the random vectors. A step of gradient descent of size η is stable along an eigenvector only while
η &lt; 2/λ.</p>"""


def _compute(problem: Problem, values: Values) -> Results:
    operator = operator_of(problem, values)
    pairs = eigenpairs_of(problem, values, operator)
    density = spectral_density(operator, probes=values["probes"], steps=values["steps"], seed=values["seed"])
    return {"eigenpairs": pairs, "density": density}


def _code(values: Values) -> str:
    return eigenpairs_code(values) + (
        f"density = wb.curvature.spectral_density(\n"
        f"    operator, probes={values['probes']}, steps={values['steps']}, seed={values['seed']}\n"
        ")\n"
        "pairs.plot()\n"
        "density.plot()"
    )


def _estimate(problem: Problem, values: Values) -> Cost:
    """The search for the eigenpairs, and then the density's products and bases."""
    operator = operator_of(problem, values)
    product = product_seconds(operator)
    search = search_cost(operator, values["k"], product)
    n, steps = problem.num_parameters, min(values["steps"], problem.num_parameters)
    vectors = min(values["probes"], 16) * (steps + 1)
    return Cost(
        search.seconds + product * values["probes"] * steps,
        search.bytes + vectors * n * operator.dtype.itemsize,
    )


def _figure() -> go.Figure:
    """All traces without data: pairs that converged, pairs that did not, the band's edges, the density."""
    figure = make_subplots(1, 2, subplot_titles=("extreme eigenvalues", "spectral density"))
    left, right = {"row": 1, "col": 1}, {"row": 1, "col": 2}
    for name, color, symbol in (("converged", BLUE, "circle"), ("NOT converged", VERMILION, "x-open")):
        figure.add_scatter(
            name=name,
            mode="markers",
            marker={"color": color, "symbol": symbol, "size": 9},
            error_y={"type": "data", "array": [], "color": color},
            hovertemplate="%{x}: λ = %{y:.6g} ± %{error_y.array:.1e}<extra>%{fullData.name}</extra>",
            **left,
        )
    band = {"line": {"width": 0}, "mode": "lines", "hoverinfo": "skip", "showlegend": False}
    figure.add_scatter(**band, **right)
    figure.add_scatter(fill="tonexty", fillcolor=BLUE_BAND, **band, **right)
    figure.add_scatter(
        name="density ± 2 stderr",
        mode="lines",
        line={"color": BLUE},
        hovertemplate="λ = %{x:.5g}<br>density %{y:.3g}<extra></extra>",
        **right,
    )
    figure.update_xaxes(title_text="index of the eigenpair", **left)
    figure.update_yaxes(title_text="eigenvalue ± residual norm", **left)
    figure.update_xaxes(title_text="eigenvalue", **right)
    figure.update_yaxes(title_text="density", type="log", dtick=1, exponentformat="power", **right)
    return styled(figure)


def _draw(figure: go.Figure, results: Results) -> None:
    pairs, density = cast(Eigenpairs, results["eigenpairs"]), cast(SpectralDensity, results["density"])
    frame = pairs.frame()
    for trace, converged in zip(figure.data[:2], (True, False), strict=True):
        part = frame[frame["converged"] == converged]
        trace.x, trace.y = part["index"].tolist(), part["eigenvalue"].tolist()
        trace.error_y.array = part["residual"].tolist()
    stderr = np.nan_to_num(density.stderr)
    low, high = density.density - 2 * stderr, density.density + 2 * stderr
    visible = np.where(density.density > density.floor, density.density, np.nan)
    lines = np.maximum(low, density.floor), np.maximum(high, density.floor), visible
    for trace, line in zip(figure.data[2:], lines, strict=True):
        trace.x, trace.y = density.grid.tolist(), as_list(line)
    left, right = figure.layout.annotations
    left.text = f"extreme eigenvalues ({pairs.which}, {pairs.method})"
    right.text = f"density; trace {density.trace:.4g} ± {density.trace_stderr:.1g} (standard error)"


def _scale_switch(figure: go.FigureWidget) -> dict[str, widgets.Widget]:
    """Return a switch between a logarithmic and a linear density, which needs no new computation."""
    switch = widgets.Dropdown(
        options=[("logarithmic", "log"), ("linear", "linear")],
        description="density",
        tooltip="logarithmic shows single eigenvalues beside the bulk, linear shows shares by area",
        layout=CONTROL_LAYOUT,
        style=CONTROL_STYLE,
    )

    def rescale(change: dict[str, Any]) -> None:
        with figure.batch_update():  # one message and one redrawing for both
            figure.update_yaxes(type=change["new"], dtick=1 if change["new"] == "log" else None, row=1, col=2)

    switch.observe(rescale, names="value")
    return {"scale": switch}


SPECTRUM = View(
    title="Spectrum",
    notebook="curvature",
    help=_HELP,
    figure=_figure,
    compute=_compute,
    draw=_draw,
    code=_code,
    estimate=_estimate,
    extras=_scale_switch,
    controls=("operator", "k", "which", "tolerance", "probes", "steps", "seed"),
)
