"""The view of runs with large steps: loss, errors and Taylor radius, with a slider over the step size."""

import math
from typing import Any, cast

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.colors import BLUE, VERMILION
from workbench.explore.figure_data import as_list
from workbench.explore.slider import add_slider, set_slider, slider_step
from workbench.explore.style import styled
from workbench.explore.view import Cost, Results, Values, View
from workbench.stability.large_steps import LargeStepRuns, example_sets, follow_runs
from workbench.stability.large_steps.followed_runs import FLOOR
from workbench.stability.large_steps.scaled_descent import RATES, RULES

_ASKED = ("examples", "kind", "pair", "seed", "steps")
_CURVES = ("loss", "wrong", "ratio")
_COLORS = dict(zip(RULES, (BLUE, VERMILION), strict=True))
_HELP = """
<p>Two digits are told apart by logistic regression. <b>Top</b>: the loss; <b>middle</b>: the share of the
examples on the wrong side of the plane; <b>bottom</b>: the length of each step over the Taylor radius of the
loss along it, dashed at 1. Blue is gradient descent, red its normalised form. The slider below chooses the
step size; the last place is the perceptron in batches, which has no loss.</p>
<p>The larger the step, the higher the loss, and, up to a point, the sooner it is done.</p>"""


def _compute(problem: None, values: Values) -> Results:
    sets = example_sets(
        [values["kind"]], [values["pair"]], seeds=[values["seed"]], examples=values["examples"]
    )
    return {"runs": follow_runs(sets, steps=values["steps"])}


def _code(values: Values) -> str:
    return (
        "from workbench.stability.large_steps import example_sets, follow_runs\n\n"
        f"sets = example_sets([{values['kind']!r}], [{values['pair']!r}], seeds=[{values['seed']}], "
        f"examples={values['examples']})\n"
        f"runs = follow_runs(sets, steps={values['steps']})\n"
        "runs.plot()\n"
        "print(runs.summary())"
    )


def _estimate(problem: None, values: Values) -> Cost:
    """From 30 µs for a pass over 160 examples, and half a millisecond a step, measured on one core."""
    passes = 2 * len(RATES) * values["steps"]
    return Cost(5e-4 * values["steps"] + 3e-5 * passes * values["examples"] / 80, 0.0)


def _figure() -> go.Figure:
    """All traces without data: for each of the three plots both rules, then the line at one radius."""
    figure = make_subplots(3, 1, shared_xaxes=True, vertical_spacing=0.05)
    for row, curve in enumerate(_CURVES, start=1):
        for rule in RULES:
            figure.add_scatter(
                name=rule,
                legendgroup=rule,
                showlegend=row == 1,
                mode="lines+markers",
                line={"color": _COLORS[rule], "width": 1.3},
                marker={"size": 3},
                hovertemplate=f"step %{{x}}: {curve} %{{y:.4g}}<extra>{rule}</extra>",
                row=row,
                col=1,
            )
    figure.add_hline(y=1, line={"dash": "dash", "width": 1, "color": "#767676"}, row=3, col=1)
    figure.update_yaxes(title_text="loss", type="log", exponentformat="power", row=1, col=1)
    figure.update_yaxes(title_text="wrong side", rangemode="tozero", row=2, col=1)
    figure.update_yaxes(title_text="step / radius", type="log", exponentformat="power", row=3, col=1)
    figure.update_xaxes(title_text="step", row=3, col=1)
    styled(figure, height=680)
    figure.update_layout(
        title={"font": {"size": 14}}, legend={"y": 1.04, "yanchor": "bottom"}, margin={"t": 90}
    )
    return add_slider(figure, "step size = ", pad=60)


def _draw(figure: go.Figure, results: Results) -> None:
    runs = cast(LargeStepRuns, results["runs"])
    steps = [_step(runs, place) for place in range(len(runs.rates))]
    set_slider(figure, steps, active=len(steps) // 2)


def _step(runs: LargeStepRuns, place: int) -> dict[str, Any]:
    """Return a step of the slider: the curves up to a little beyond the later separation."""
    rate = float(runs.rates[place])
    ends = runs.steps[:, place]
    last = runs.wrong.shape[-1] - 1
    shown = last if any(map(math.isnan, ends)) else min(last, int(1.2 * max(ends)) + 2)
    traces = {}
    for row, curve in enumerate(_CURVES):
        for column, rule in enumerate(RULES):
            values = runs.curve(curve, rate, rule)[: shown + 1]
            if curve != "wrong":
                values = np.where(values < FLOOR, np.nan, values)
            traces[row * len(RULES) + column] = {"x": list(range(len(values))), "y": as_list(values)}
    told = ", ".join(
        f"{rule} {'not within the steps' if math.isnan(end) else f'after {end:.0f}'}"
        for rule, end in zip(RULES, ends, strict=True)
    )
    name = f"{rate:g}" if math.isfinite(rate) else "∞"
    return slider_step(name, place, {"title.text": f"{runs.kind} {runs.pair}, separated: {told}"}, traces)


LARGE_STEP_RUNS = View(
    title="Runs",
    notebook="large_steps",
    help=_HELP,
    figure=_figure,
    compute=_compute,
    draw=_draw,
    code=_code,
    estimate=_estimate,
    controls=_ASKED,
)
