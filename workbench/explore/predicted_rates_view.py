"""The view of predicted rates: the largest of SGD over the batch size, and the least damping."""

from typing import cast

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.colors import BLUE, GREEN, ORANGE, VERMILION
from workbench.curvature.batch_spectra import BELOW
from workbench.curvature.subsampling import NOISE_BATCHES, NOISE_SIZE
from workbench.explore.batch_cost import batch_cost, sizes_code, usable_sizes
from workbench.explore.curvature_parts import lanczos_products, search_products
from workbench.explore.figure_data import as_list
from workbench.explore.style import styled
from workbench.explore.view import Cost, Results, Values, View
from workbench.problem import Problem
from workbench.stability.batch_size import PredictedRates, predict_rates, sgd_rate

_FORMS = ("along", "single", "isotropic")
_HELP = """
<p><b>Left</b>: the largest learning rate of SGD over the batch size, 2/λ₁ of a batch's Hessian: <b>points</b>
are measured on random batches, with two standard errors; lines are predicted from all examples and their
noise, along several eigenvectors, along the first alone, or as if it were the same in all directions.
<b>Orange</b>: the law of adaptive methods, a share of what they could take without noise, scaled to the gray
line, SGD's rate without noise. The dotted line is where noise equals curvature.</p>
<p><b>Right</b>: the least damping with which second-order steps stay stable in batches.</p>"""


def _compute(problem: Problem, values: Values) -> Results:
    rates = predict_rates(
        problem,
        usable_sizes(problem, values),
        min(values["k"], problem.num_parameters),
        momentum=values["momentum"],
        newton_rate=values["newton_rate"],
        batches=values["batches"],
        seed=values["seed"],
    )
    if rates.interrupted:
        raise KeyboardInterrupt
    return {"predicted": rates}


def _code(values: Values) -> str:
    return (
        "from workbench.stability.batch_size import predict_rates\n\n"
        f"{sizes_code(values)}"
        "predicted = predict_rates(\n"
        f"    problem, sizes, min({values['k']}, problem.num_parameters), momentum={values['momentum']},\n"
        f"    newton_rate={values['newton_rate']}, batches={values['batches']}, seed={values['seed']}\n"
        ")\n"
        "predicted.plot()\n"
        "print(predicted.summary())"
    )


def _estimate(problem: Problem, values: Values) -> Cost:
    """From the times of products with batches of each size, and with all examples."""
    k, n = values["k"], problem.num_parameters
    everything = batch_cost(problem, "hessian", problem.num_examples)
    seconds = everything.of(search_products(n, k + BELOW) + k + BELOW)
    seconds += NOISE_BATCHES * batch_cost(problem, "hessian", NOISE_SIZE).of(k + BELOW)
    for size in usable_sizes(problem, values):
        seconds += values["batches"] * batch_cost(problem, "hessian", size).of(lanczos_products(k))
    return Cost(seconds, (3 * (k + BELOW) + 60) * n * problem.dtype.itemsize)


def _figure() -> go.Figure:
    """All traces without data: measured rates, three predictions, the adaptive law; the damping."""
    figure = make_subplots(1, 2, horizontal_spacing=0.14, column_widths=[0.64, 0.36])
    styles = (
        ("along the eigenvectors", {"color": GREEN}),
        ("along the first alone", {"color": GREEN, "dash": "dash"}),
        ("isotropic noise", {"color": VERMILION, "dash": "dot"}),
        ("adaptive, scaled", {"color": ORANGE, "dash": "dashdot"}),
        ("without noise", {"color": "#999999", "width": 1}),
    )
    figure.add_scatter(
        name="batches ± 2 stderr",
        mode="markers",
        marker={"color": BLUE, "size": 8},
        error_y={"type": "data", "array": [], "color": BLUE},
        hovertemplate="B = %{x}: %{y:.4g} ± %{error_y.array:.2g}<extra>measured</extra>",
        row=1,
        col=1,
    )
    for name, line in styles:
        figure.add_scatter(
            name=name,
            mode="lines",
            line=line,
            hovertemplate="B = %{x}: %{y:.4g}<extra>%{fullData.name}</extra>",
            row=1,
            col=1,
        )
    figure.add_scatter(
        name="damping",
        mode="lines+markers",
        line={"color": BLUE},
        showlegend=False,
        hovertemplate="B = %{x}: at least %{y:.4g}<extra></extra>",
        row=1,
        col=2,
    )
    figure.add_vline(x=1, line={"color": "#767676", "width": 1, "dash": "dot"}, row=1, col=1)
    figure.update_xaxes(title_text="batch size (examples)", type="log")
    figure.update_yaxes(title_text="largest learning rate of SGD", type="log", row=1, col=1)
    figure.update_yaxes(title_text="least damping", rangemode="tozero", row=1, col=2)
    styled(figure, height=500)
    figure.update_layout(title={"font": {"size": 14}})
    return figure


def _draw(figure: go.Figure, results: Results) -> None:
    found = cast(PredictedRates, results["predicted"])
    top = float(sgd_rate(found.spectra.full[0]))
    measured, errors = found.sgd("measured")
    curves = [measured, *(found.sgd(form)[0] for form in _FORMS)]
    curves += [top * found.adaptive()[0], np.full(len(found.sizes), top), found.damping()]
    for trace, values in zip(figure.data, curves, strict=True):
        trace.x, trace.y = found.sizes.tolist(), as_list(values)
    figure.data[0].error_y.array = as_list(2 * errors)
    figure.update_xaxes(tickvals=found.sizes.tolist())
    size, error = found.critical_size
    figure.layout.shapes[0].update(x0=size, x1=size)
    figure.layout.title.text = f"noise equals curvature at B = {size:.3g} ± {error:.1g}"


PREDICTED_RATES = View(
    title="Predicted rates",
    notebook="batch_size",
    help=_HELP,
    figure=_figure,
    compute=_compute,
    draw=_draw,
    code=_code,
    estimate=_estimate,
    controls=("k", "sizes", "batches", "momentum", "newton_rate", "seed"),
)
