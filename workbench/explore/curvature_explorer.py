"""The explorer of curvature: extreme eigenpairs with their residuals beside the spectral density."""

from typing import Any

import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure
from plotly.subplots import make_subplots

from workbench.curvature import Eigenpairs, SpectralDensity, eigenpairs, ggn, hessian, spectral_density
from workbench.explore.shell import Explorer
from workbench.explore.still import Still
from workbench.parameters import read_notebook
from workbench.problem import Problem
from workbench.recording import run_folder

_BLUE, _VERMILION = "#0072B2", "#D55E00"  # Okabe and Ito: told apart by all kinds of colour vision
_CONTROLS = ("operator", "k", "which", "tolerance", "probes", "steps", "seed")
_OPERATORS = {"hessian": hessian, "ggn": ggn}

Spectrum = tuple[Eigenpairs, SpectralDensity]


def curvature(
    problem: Problem,
    pairs: Eigenpairs | None = None,
    density: SpectralDensity | None = None,
    **values: Any,
) -> Explorer | Still:
    """Explore the curvature of a problem's loss.

    Parameters
    ----------
    problem : Problem
        What is analysed.
    pairs, density : Eigenpairs and SpectralDensity, optional
        What to show first; by default nothing until Run is pressed.
    **values
        Initial values of the controls, by the names in the notebook ``curvature``.

    Returns
    -------
    Explorer or Still
        A widget in a live session. While a report runs, a figure without controls, computed here if
        ``pairs`` and ``density`` are not given.

    Raises
    ------
    ValueError
        If a value is unknown or out of its range.
    """
    schema = read_notebook("curvature")
    checked = schema.validate(values)
    chosen = {name: checked[name] for name in _CONTROLS}
    known = (pairs, density) if pairs is not None and density is not None else None
    if run_folder() is not None:
        return _still(known or _compute(problem, chosen))
    figure = go.FigureWidget(_empty_figure())
    explorer = Explorer(
        f"Curvature of {problem.name}",
        schema,
        chosen,
        figure,
        lambda current: _compute(problem, current),
        _draw,
        extras=[_scale_switch(figure)],
    )
    if known is not None:
        explorer.show(known)
    return explorer


def _compute(problem: Problem, values: dict[str, Any]) -> Spectrum:
    operator = _OPERATORS[values["operator"]](problem)
    k, seed = min(values["k"], problem.num_parameters), values["seed"]
    pairs = eigenpairs(operator, k, values["which"], tol=values["tolerance"], seed=seed)
    return pairs, spectral_density(operator, probes=values["probes"], steps=values["steps"], seed=seed)


def _empty_figure() -> go.Figure:
    """All traces without data: pairs that converged, pairs that did not, the band's edges, the density."""
    figure = make_subplots(1, 2, subplot_titles=("extreme eigenvalues", "spectral density"))
    left, right = {"row": 1, "col": 1}, {"row": 1, "col": 2}
    for name, color, symbol in (("converged", _BLUE, "circle"), ("NOT converged", _VERMILION, "x-open")):
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
    figure.add_scatter(fill="tonexty", fillcolor="rgba(0,114,178,0.25)", **band, **right)
    figure.add_scatter(
        name="density ± 2 stderr",
        mode="lines",
        line={"color": _BLUE},
        hovertemplate="λ = %{x:.5g}<br>density %{y:.3g}<extra></extra>",
        **right,
    )
    figure.update_xaxes(title_text="index of the eigenpair", **left)
    figure.update_yaxes(title_text="eigenvalue ± residual norm", **left)
    figure.update_xaxes(title_text="eigenvalue", **right)
    figure.update_yaxes(title_text="density", type="log", dtick=1, exponentformat="power", **right)
    figure.update_layout(
        height=460,
        margin={"l": 60, "r": 20, "t": 60, "b": 60},
        legend={"orientation": "h", "y": -0.2},
        template="plotly_white",
    )
    return figure


def _draw(figure: go.Figure, spectrum: Spectrum) -> None:
    pairs, density = spectrum
    frame = pairs.frame()
    for trace, converged in zip(figure.data[:2], (True, False), strict=True):
        part = frame[frame["converged"] == converged]
        trace.x, trace.y = part["index"].tolist(), part["eigenvalue"].tolist()
        trace.error_y.array = part["residual"].tolist()
    floor = density.floor
    stderr = np.nan_to_num(density.stderr)
    low, high = density.density - 2 * stderr, density.density + 2 * stderr
    for trace, line in zip(figure.data[2:], (low, high, density.density), strict=True):
        trace.x, trace.y = density.grid.tolist(), np.maximum(line, floor).tolist()
    figure.layout.annotations[0].text = f"extreme eigenvalues ({pairs.which}, {pairs.method})"
    figure.layout.annotations[
        1
    ].text = f"spectral density, trace {density.trace:.4g} ± {density.trace_stderr:.1g}"


def _scale_switch(figure: go.FigureWidget) -> widgets.Widget:
    """Return a switch between a logarithmic and a linear density, which needs no new computation."""
    switch = widgets.ToggleButtons(
        options=["log", "linear"],
        description="density",
        tooltips=["shows single eigenvalues beside the bulk", "shows shares by area"],
        style={"description_width": "90px", "button_width": "80px"},
    )

    def rescale(change: dict[str, Any]) -> None:
        figure.update_yaxes(type=change["new"], dtick=1 if change["new"] == "log" else None, row=1, col=2)

    switch.observe(rescale, names="value")
    return switch


def _still(spectrum: Spectrum) -> Still:
    figure = _empty_figure()
    _draw(figure, spectrum)
    picture = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = picture.subplots(1, 2)
    spectrum[0].plot(left)
    spectrum[1].plot(right)
    return Still(figure, picture)
