"""The view of step sizes: steps until separated, highest loss and Taylor radius, for every kind of set."""

from typing import cast

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.explore.figure_data import as_list
from workbench.explore.style import styled
from workbench.explore.view import Cost, Results, Values, View
from workbench.stability.large_steps import StepSizeSweep, example_sets, sweep_step_sizes
from workbench.stability.large_steps.example_sets import KINDS
from workbench.stability.large_steps.scaled_descent import RATES, RULES
from workbench.stability.large_steps.sweeps import KIND_COLORS

_ASKED = ("examples", "kinds", "pairs", "draws", "limit")
_PLOTS = ("steps", "peak_loss")
_HELP = """
<p>Descents with every step size on every set: a colour is a kind of set, a line the median over its pairs of
digits and draws. <b>Left</b>: gradient descent, <b>right</b>: normalised. <b>Top</b>: steps until nothing is
on the wrong side, dotted what the theorem allows, from margin and radius of the sets; the last place is an
infinite step, the perceptron. <b>Bottom</b>: the highest loss on the way. Where a line has no point, at least
half of the runs were not done within the limit.</p>"""


def _compute(problem: None, values: Values) -> Results:
    sets = example_sets(
        values["kinds"], values["pairs"], seeds=range(values["draws"]), examples=values["examples"]
    )
    found = sweep_step_sizes(sets, limit=values["limit"])
    if found.interrupted:
        raise KeyboardInterrupt
    return {"sweep": found}


def _code(values: Values) -> str:
    return (
        "from workbench.stability.large_steps import example_sets, sweep_step_sizes\n\n"
        f"sets = example_sets(\n    {values['kinds']}, {values['pairs']}, seeds=range({values['draws']}), "
        f"examples={values['examples']}\n)\n"
        f"sweep = sweep_step_sizes(sets, limit={values['limit']})\n"
        "sweep.plot()\n"
        "print(sweep.summary())"
    )


def _estimate(problem: None, values: Values) -> Cost:
    """From 30 µs for a pass over 160 examples on one core, if half of the steps are taken."""
    sets = len(values["kinds"]) * len(values["pairs"]) * values["draws"]
    passes = len(RULES) * len(RATES) * sets * values["limit"] / 2
    kept = 8 * len(RULES) * len(RATES) * sets * (2 * values["examples"] + 65) * 8
    return Cost(3e-5 * passes * values["examples"] / 80, float(kept))


def _figure() -> go.Figure:
    """All traces without data: for each plot and kind the median, and above also its bound."""
    figure = make_subplots(2, 2, shared_xaxes=True, vertical_spacing=0.08, subplot_titles=RULES)
    for row, plot in enumerate(_PLOTS, start=1):
        for column in range(1, len(RULES) + 1):
            for kind in KINDS:
                first = row == column == 1
                common = {"legendgroup": kind, "name": kind, "row": row, "col": column}
                figure.add_scatter(
                    mode="lines+markers",
                    line={"color": KIND_COLORS[kind], "width": 2},
                    marker={"size": 4},
                    showlegend=first,
                    hovertemplate=f"γ = %{{text}}: %{{y:.4g}} ({plot})<extra>{kind}</extra>",
                    **common,
                )
                if plot == "steps":
                    figure.add_scatter(
                        mode="lines",
                        line={"color": KIND_COLORS[kind], "width": 1, "dash": "dot"},
                        showlegend=False,
                        hovertemplate=f"γ = %{{text}}: at most %{{y:.4g}}<extra>{kind}</extra>",
                        **common,
                    )
    figure.update_yaxes(type="log", exponentformat="power")
    figure.update_yaxes(title_text="steps until separated", row=1, col=1)
    figure.update_yaxes(title_text="highest loss", row=2, col=1)
    figure.update_xaxes(title_text="step size", row=2)
    styled(figure, height=640)
    figure.update_layout(legend={"y": -0.12})
    return figure


def _draw(figure: go.Figure, results: Results) -> None:
    found = cast(StepSizeSweep, results["sweep"])
    table = found.by_rate()
    names = ["∞" if np.isinf(rate) else f"{rate:g}" for rate in found.rates]
    places = list(range(len(names)))
    traces = iter(figure.data)
    for plot in _PLOTS:
        for rule in RULES:
            for kind in KINDS:
                part = table[(table["kind"] == kind) & (table["rule"] == rule)]
                for column in (plot, "bound") if plot == "steps" else (plot,):
                    line = next(traces)
                    known = bool(len(part))
                    line.x, line.text = (places, names) if known else ([], [])
                    line.y = as_list(part[column]) if known else []
    figure.update_xaxes(tickvals=places[::2] + places[-1:], ticktext=names[::2] + names[-1:])


STEP_SIZES = View(
    title="Step sizes",
    notebook="large_steps",
    help=_HELP,
    figure=_figure,
    compute=_compute,
    draw=_draw,
    code=_code,
    estimate=_estimate,
    controls=_ASKED,
)
