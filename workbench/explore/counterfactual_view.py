"""The view of a counterfactual: the image, what changed, and the probabilities; a slider over the path."""

import time
from typing import Any, cast

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.colors import BLUE, GREEN, ORANGE, VERMILION
from workbench.explore.figure_data import as_list
from workbench.explore.remembered import remembered, result_key
from workbench.explore.slider import add_slider, set_slider, slider_step
from workbench.explore.style import styled
from workbench.explore.view import Cost, Results, Values, View
from workbench.particles.attacks import CounterfactualPath, counterfactual, counterfactual_path
from workbench.problem import Problem

_STEPS = 40  # of the slider at most
_IMAGE, _CHANGE = 1, 2  # places among the traces
_HELP = """
<p><b>Above</b>: the example, the image that the search is at, and what it has changed: red is brighter, blue
darker. <b>Below</b>: the probability of the target against evaluations, by the direct search with attacks and
by itself, and that of the class that the example was taken for (dashed).</p>
<p>The search raises log p(target) − weight · distance², within the box of gray values. A small weight lets
the image go far; a large one keeps it where it is, and the class may never be reached.</p>
<p>The slider below moves along the path with attacks; the title says which class the network sees there.
</p>"""


def _compute(problem: Problem, values: Values) -> Results:
    asked = {name: values[name] for name in ("example", "target", "attack", "weight", "evaluations", "seed")}

    def compute() -> dict[str, CounterfactualPath]:
        found = counterfactual_path(
            problem,
            values["example"],
            values["target"],
            values["attack"],
            weight=values["weight"],
            evaluations=values["evaluations"],
            seed=values["seed"],
        )
        if found.alone.interrupted:
            raise KeyboardInterrupt
        return {"path": found}

    results, _ = remembered(result_key("counterfactual", problem, asked), compute)
    return results


def _code(values: Values) -> str:
    return (
        "import workbench as wb\n\n"
        "path = wb.particles.attacks.counterfactual_path(\n"
        f"    problem, {values['example']}, {values['target']}, {values['attack']!r}, "
        f"weight={values['weight']}, evaluations={values['evaluations']}, seed={values['seed']}\n"
        ")\n"
        "path.plot()\n"
        "print(path.summary())"
    )


def _estimate(problem: Problem, values: Values) -> Cost:
    """Two searches of so many evaluations, the time of one measured in a pass of a poll."""
    surrogate = counterfactual(problem, values["example"], values["target"], weight=values["weight"])
    points = surrogate.start.expand(2 * surrogate.dim, -1)
    surrogate.evaluate(points)
    started = time.monotonic()
    surrogate.evaluate(points)
    return Cost(2 * values["evaluations"] * (time.monotonic() - started) / len(points), 0.0)


def _figure() -> go.Figure:
    """All traces without data: three images, four lines, a mark on the path."""
    figure = make_subplots(
        2,
        3,
        specs=[[{}, {}, {}], [{"colspan": 3}, None, None]],
        row_heights=[0.5, 0.5],
        vertical_spacing=0.16,
        subplot_titles=("example", "on the path", "change"),
    )
    for column in (1, 2):
        figure.add_heatmap(
            colorscale="Greys_r", zmin=0, zmax=1, showscale=False, row=1, col=column,
            hovertemplate="%{z:.2f}<extra></extra>",
        )  # fmt: skip
    figure.add_heatmap(
        colorscale="RdBu_r", zmid=0, row=1, col=3, colorbar={"thickness": 12, "len": 0.45, "y": 0.8},
        hovertemplate="%{z:+.3f}<extra></extra>",
    )  # fmt: skip
    for color, dash in ((VERMILION, "solid"), (BLUE, "solid"), (ORANGE, "dash")):
        figure.add_scatter(
            mode="lines",
            line={"color": color, "dash": dash, "shape": "hv"},
            hovertemplate="%{x} evaluations: %{y:.3g}<extra></extra>",
            row=2,
            col=1,
        )
    figure.add_vline(x=1, line={"color": GREEN, "width": 2}, row=2, col=1)
    for column in (1, 2, 3):
        figure.update_xaxes(visible=False, constrain="domain", row=1, col=column)
        figure.update_yaxes(
            visible=False,
            autorange="reversed",
            scaleanchor=f"x{column if column > 1 else ''}",
            row=1,
            col=column,
        )
    figure.update_xaxes(title_text="evaluations, batched (a gradient counts as 3)", row=2, col=1)
    figure.update_yaxes(title_text="probability", range=[-0.03, 1.03], row=2, col=1)
    styled(figure, height=640)
    figure.update_layout(title={"font": {"size": 14}}, legend={"y": -0.1})
    return add_slider(figure, "evaluations: ", pad=80)


def _draw(figure: go.Figure, results: Results) -> None:
    found = cast(CounterfactualPath, results["path"])
    records = _shown(found)
    figure.data[0].z = as_list(found.images[0])
    target, alone, before = figure.data[3:]
    target.x = before.x = found.path.cost().tolist()
    target.y = as_list(found.probabilities[:, found.target].numpy())
    target.name = f"class {found.target}, {found.path.method}"
    alone.x, alone.y = (
        found.alone.cost().tolist(),
        as_list(found.probabilities_alone[:, found.target].numpy()),
    )
    alone.name = f"class {found.target}, {found.alone.method}"
    before.y = as_list(found.probabilities[:, found.before].numpy())
    before.name = f"class {found.before}, {found.path.method}"
    steps = [_step(found, record, place) for place, record in enumerate(records)]
    set_slider(figure, steps, active=len(steps) - 1)


def _shown(found: CounterfactualPath) -> list[int]:
    """Records for the slider: where the image moved, evenly thinned out, with the first and the last."""
    moved = np.flatnonzero(np.diff(found.distances, prepend=-1.0))
    places = np.linspace(0, len(moved) - 1, min(_STEPS, len(moved))).round().astype(int)
    return moved[places].tolist()


def _step(found: CounterfactualPath, record: int, place: int) -> dict[str, Any]:
    """Return a step of the slider: the image and its change there, the mark on the path, what is seen."""
    cost = int(found.path.cost()[record])
    likeliest = int(found.probabilities[record].argmax())
    share = float(found.probabilities[record, likeliest])
    told = (
        f"seen as {likeliest} (p = {share:.3g}); p({found.target}) = "
        f"{float(found.probabilities[record, found.target]):.3g} at distance {found.distances[record]:.3g}"
    )
    image, first = found.images[record], found.images[0]
    traces = {_IMAGE: {"z": as_list(image)}, _CHANGE: {"z": as_list(image - first)}}
    layout = {"shapes[0].x0": cost, "shapes[0].x1": cost, "title.text": told}
    return slider_step(str(cost), place, layout, traces)


COUNTERFACTUAL = View(
    title="Counterfactual",
    notebook="directional_attacks",
    help=_HELP,
    figure=_figure,
    compute=_compute,
    draw=_draw,
    code=_code,
    estimate=_estimate,
    controls=("example", "target", "attack", "weight", "evaluations", "seed"),
)
