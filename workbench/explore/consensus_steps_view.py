"""The view of consensus steps: how like the gradient and the proximal step they are, as alpha rises."""

import time
from typing import cast

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.colors import BLUE, ORANGE, VERMILION
from workbench.explore.figure_data import as_list
from workbench.explore.style import styled
from workbench.explore.view import Cost, Results, Values, View
from workbench.particles import StepComparison, landscape
from workbench.particles.experiments import step_regime
from workbench.problem import Problem

_GRAY = "#767676"
_SETTINGS = ("held", "held_at", "step_particles", "repeats", "seed")
_HELP = """
<p><b>Above</b>: the cosine of a step of consensus hopping from one point with the direction against the
gradient (blue) and with the proximal step (red), with two standard errors over the repeats. Dashed: the
proximal step's own cosine with the gradient. <b>Below</b>: the effective sample size beside what it would
be if the landscape were linear over the cloud (dashed).</p>
<p><b>held</b> is what stays the same while α rises. <i>tau</i> = α s²: the consensus turns to the proximal
step, until too few particles count. <i>alpha tau</i>: τ falls, both turn to the gradient, and the sample
size stays. <i>width</i>: the cosine rises while the noise of the mean goes down, then falls for two
reasons, since τ grows with α and the sample size goes to 1.</p>
<p>The point has as many coordinates as the landscape is to have dimensions.</p>"""


def _compute(problem: Problem, values: Values) -> Results:
    asked = {name: values[name] for name in _SETTINGS}
    comparison = step_regime(landscape(values["step_landscape"]), values["point"], values["alphas"], **asked)
    return {"comparison": comparison}


def _code(values: Values) -> str:
    settings = ", ".join(f"{name}={values[name]!r}" for name in _SETTINGS)
    return (
        "from workbench.particles import experiments, landscape\n\n"
        "comparison = experiments.step_regime(\n"
        f"    landscape({values['step_landscape']!r}), {values['point']}, {values['alphas']},\n"
        f"    {settings},\n"
        ")\n"
        "comparison.plot()\n"
        "comparison.frame()"
    )


def _estimate(problem: Problem, values: Values) -> Cost:
    """By two repeats at one steepness."""
    few = {name: values[name] for name in _SETTINGS} | {"repeats": 2}
    started = time.monotonic()
    step_regime(landscape(values["step_landscape"]), values["point"], values["alphas"][:1], **few)
    parts = len(values["alphas"]) * values["repeats"] / 2
    numbers = values["step_particles"] * len(values["point"])
    return Cost(parts * (time.monotonic() - started), 16.0 * numbers)


def _figure() -> go.Figure:
    """All traces without data: two cosines with errors, that of the proximal step, two sample sizes."""
    figure = make_subplots(2, 1, shared_xaxes=True, vertical_spacing=0.08)
    above, below = {"row": 1, "col": 1}, {"row": 2, "col": 1}
    for color, name in ((BLUE, "step with −gradient"), (VERMILION, "step with proximal step")):
        figure.add_scatter(
            name=name,
            mode="lines+markers",
            line={"color": color},
            error_y={"type": "data", "array": [], "color": color},
            hovertemplate=f"α = %{{x:.3g}}: {name} %{{y:.4f}} ± %{{error_y.array:.1g}}<extra></extra>",
            **above,
        )
    for place, color, dash, name in (
        (above, _GRAY, "dash", "proximal step with −gradient"),
        (below, ORANGE, "solid", "effective sample size"),
        (below, _GRAY, "dot", "if the landscape were linear"),
    ):
        figure.add_scatter(
            name=name,
            mode="lines+markers" if dash == "solid" else "lines",
            line={"color": color, "dash": dash},
            hovertemplate=f"α = %{{x:.3g}}: {name} %{{y:.4g}}<extra></extra>",
            **place,
        )
    figure.update_xaxes(type="log")
    figure.update_xaxes(title_text="α", **below)
    figure.update_yaxes(title_text="cosine", **above)
    figure.update_yaxes(title_text="particles", type="log", **below)
    styled(figure, height=620)
    figure.update_layout(title={"font": {"size": 14}}, legend={"y": -0.12})
    return figure


def _draw(figure: go.Figure, results: Results) -> None:
    found = cast(StepComparison, results["comparison"])
    table = found.frame()
    gradient, proximal, own, ess, linear = figure.data
    for trace, name in ((gradient, "cosine_gradient"), (proximal, "cosine_proximal")):
        trace.y, trace.error_y.array = as_list(table[name]), as_list(2 * table[f"{name}_stderr"])
    own.y, ess.y = as_list(table["proximal_cosine_gradient"]), as_list(table["ess"])
    # Below half a particle the line would only stretch the axis.
    linear.y = as_list(table["predicted_ess"].where(table["predicted_ess"] > 0.5))
    for trace in figure.data:
        trace.x = table["alpha"].tolist()
    figure.layout.title.text = (
        f"{found.objective}, {len(found.point)} dimensions: τ from {float(found.taus[0]):.3g} to "
        f"{float(found.taus[-1]):.3g}, {found.particles} particles"
    )


STEPS = View(
    title="Steps",
    notebook="particles",
    help=_HELP,
    figure=_figure,
    compute=_compute,
    draw=_draw,
    code=_code,
    estimate=_estimate,
    controls=("step_landscape", "point", "alphas", *_SETTINGS),
)
