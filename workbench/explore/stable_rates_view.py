"""The view of stable rates: the largest over the batch size, and which runs were stable, by optimizer."""

from typing import Any, cast

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.explore.batch_cost import sizes_code, usable_sizes
from workbench.explore.figure_data import as_list
from workbench.explore.slider import add_slider, set_slider, slider_step
from workbench.explore.style import SHARES, styled
from workbench.explore.training_cost import training_cost
from workbench.explore.view import Cost, Results, Values, View
from workbench.problem import Problem
from workbench.stability.batch_size import StableRates, measure_stable_rates
from workbench.stability.batch_size.stable_rates import COLORS
from workbench.stability.batch_size.stacked_runs import OPTIMIZERS

_ASKED = ("rates", "steps", "seeds", "seed")
_HELP = """
<p>Trainings with every batch size, optimizer and learning rate, from the same start. A run is <i>stable</i>
if its loss over all the data ends no higher than it began.</p>
<p><b>Left</b>: the largest stable rate over the batch size, geometric means over the seeds with two standard
errors; hollow points are saturated and not in the fitted slopes. <b>Right</b>: for the optimizer of the
slider below, the share of the seeds that were stable, with the largest stable rate as a line.</p>"""


def _compute(problem: Problem, values: Values) -> Results:
    found = measure_stable_rates(
        problem,
        usable_sizes(problem, values),
        rates=values["rates"],
        steps=values["steps"],
        seeds=values["seeds"],
        seed=values["seed"],
    )
    if found.interrupted:
        raise KeyboardInterrupt
    return {"stable": found}


def _code(values: Values) -> str:
    return (
        "from workbench.stability.batch_size import measure_stable_rates\n\n"
        f"{sizes_code(values)}"
        f"stable = measure_stable_rates(\n    problem, sizes, "
        f"{', '.join(f'{name}={values[name]}' for name in _ASKED)}\n)\n"
        "stable.plot()\n"
        "print(stable.summary())"
    )


def _estimate(problem: Problem, values: Values) -> Cost:
    """Gradients of batches as shares of that of all data, a third for the losses, 4 ms for each step."""
    sizes = usable_sizes(problem, values)
    runs = len(OPTIMIZERS) * values["rates"] * values["seeds"]
    gradients = runs * (values["steps"] * sum(sizes) / problem.num_examples + 2 * len(sizes) / 3)
    cost = training_cost(problem, gradients)
    steps = len(OPTIMIZERS) * len(sizes) * values["steps"]
    return Cost(cost.seconds + 4e-3 * steps, cost.bytes * values["rates"] * values["seeds"] / 8)


def _figure() -> go.Figure:
    """All traces without data: for each optimizer all sizes and those fitted; the map and its line."""
    figure = make_subplots(1, 2, horizontal_spacing=0.12)
    for name in OPTIMIZERS:
        figure.add_scatter(
            name=f"{name}, all",
            legendgroup=name,
            showlegend=False,
            mode="markers",
            marker={"color": COLORS[name], "size": 8, "symbol": "circle-open"},
            error_y={"type": "data", "symmetric": False, "thickness": 1},
            hovertemplate="B = %{x}: %{y:.3g}<extra>%{fullData.legendgroup}</extra>",
            row=1,
            col=1,
        )
        figure.add_scatter(
            name=name,
            legendgroup=name,
            mode="lines+markers",
            line={"color": COLORS[name], "width": 2},
            hoverinfo="skip",
            row=1,
            col=1,
        )
    for name in OPTIMIZERS:
        figure.add_heatmap(
            **SHARES,
            name=name,
            visible=False,
            colorbar={"title": "stable", "len": 0.9},
            hovertemplate="B = %{x}, rate %{y:.3g}: %{z:.2f} stable<extra>%{fullData.name}</extra>",
            row=1,
            col=2,
        )
        figure.add_scatter(
            name=f"{name}, largest",
            visible=False,
            showlegend=False,
            mode="lines",
            line={"color": "#000000"},
            row=1,
            col=2,
        )
    figure.update_xaxes(title_text="batch size (examples)")
    figure.update_xaxes(type="log", row=1, col=1)
    figure.update_xaxes(type="category", row=1, col=2)
    figure.update_yaxes(title_text="largest stable rate", type="log", exponentformat="power", row=1, col=1)
    figure.update_yaxes(title_text="learning rate", type="log", exponentformat="power", row=1, col=2)
    styled(figure, height=560)
    figure.update_layout(title={"font": {"size": 14}}, legend={"y": -0.45})
    return add_slider(figure, "optimizer: ")


def _draw(figure: go.Figure, results: Results) -> None:
    found = cast(StableRates, results["stable"])
    for place, name in enumerate(OPTIMIZERS):
        every, fitted = figure.data[2 * place : 2 * place + 2]
        known = name in found.optimizers
        fitted.showlegend = known
        if not known:
            every.x, every.y, fitted.x, fitted.y = [], [], [], []
            continue
        mean, error = found.mean(name)
        kept = found.unsaturated(name)
        every.x, every.y = found.sizes.tolist(), as_list(mean)
        every.error_y.array = as_list(mean * (np.exp(2 * error) - 1))
        every.error_y.arrayminus = as_list(mean * (1 - np.exp(-2 * error)))
        fitted.x, fitted.y = found.sizes[kept].tolist(), as_list(mean[kept])
    figure.update_xaxes(tickvals=found.sizes.tolist(), row=1, col=1)
    for place, name in enumerate(found.optimizers):
        shares, line = figure.data[_maps(name)]
        shares.x = line.x = [str(size) for size in found.sizes]
        shares.y = as_list(found.rates[place])
        shares.z = as_list((found.ratios[place] <= 1).mean(-1).T)
        line.y = as_list(found.mean(name)[0])
    set_slider(figure, [_step(found, name) for name in found.optimizers], active=0)


def _maps(name: str) -> slice:
    """Where the map of an optimizer and the line on it stand among the traces."""
    first = 2 * (len(OPTIMIZERS) + OPTIMIZERS.index(name))
    return slice(first, first + 2)


def _step(found: StableRates, name: str) -> dict[str, Any]:
    """Return a step of the slider: which map is shown, and the slope of its optimizer."""
    slope = found.slope(name)
    title = f"{name}: B^{slope.value:.2f} [{slope.low:.2f}, {slope.high:.2f}] where it is not saturated"
    legend = {2 * at + 1 for at, each in enumerate(OPTIMIZERS) if each in found.optimizers}
    maps = range(2 * len(OPTIMIZERS), 4 * len(OPTIMIZERS))
    here = range(4 * len(OPTIMIZERS))[_maps(name)]
    visible = {  # of all traces, whose places in the legend a widget loses otherwise
        number: {"visible": number not in maps or number in here, "showlegend": number in legend}
        for number in range(4 * len(OPTIMIZERS))
    }
    return slider_step(name, found.optimizers.index(name), {"title.text": title}, visible)


STABLE_RATES = View(
    title="Stable rates",
    notebook="batch_size",
    help=_HELP,
    figure=_figure,
    compute=_compute,
    draw=_draw,
    code=_code,
    estimate=_estimate,
    controls=("sizes", *_ASKED),
)
