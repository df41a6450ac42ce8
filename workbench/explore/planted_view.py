"""The view of a planted maximum: how far two searches are below it, against what they have spent."""

import time
from typing import cast

import numpy as np
import plotly.graph_objects as go

from workbench.colors import BLUE, VERMILION
from workbench.explore.figure_data import as_list
from workbench.explore.remembered import remembered, result_key
from workbench.explore.style import styled
from workbench.explore.view import Cost, Results, Values, View
from workbench.particles.attacks import SearchPath, direct_search, planted_maximiser
from workbench.problem import Problem

_NAMES = {"hybrid": VERMILION, "alone": BLUE}
_HELP = """
<p>A network with a quadratic head, whose maximum is planted and known to be 0: how far below it the best
point is, against the evaluations spent, all points of a step in one forward pass. A gradient counts as 3.</p>
<p>The direct search needs the more evaluations the more dimensions there are, since each poll asks both ways
along all of them; attacks have their direction from one gradient. Points tell the stage of each success.
</p>"""


def _compute(problem: Problem, values: Values) -> Results:
    """Search with attacks and without; the problem at hand is not needed."""
    asked = {name: values[name] for name in ("dim", "attack", "evaluations", "seed")}

    def compute() -> dict[str, SearchPath]:
        planted = planted_maximiser(values["dim"], seed=values["seed"])
        found = {}
        for name, attack in (("hybrid", values["attack"]), ("alone", None)):
            found[name] = direct_search(
                planted, attack, evaluations=values["evaluations"], seed=values["seed"]
            )
            if found[name].interrupted:
                raise KeyboardInterrupt
        return found

    results, _ = remembered(result_key("planted maximum", problem, asked), compute)
    return results


def _code(values: Values) -> str:
    rest = f"evaluations={values['evaluations']}, seed={values['seed']}"
    return (
        "from workbench.particles import attacks\n\n"
        f"planted = attacks.planted_maximiser({values['dim']}, seed={values['seed']})\n"
        f"hybrid = attacks.direct_search(planted, {values['attack']!r}, {rest})\n"
        f"alone = attacks.direct_search(planted, None, {rest})\n"
        "hybrid.plot()\n"
        "print(hybrid.summary(), alone.summary(), sep='\\n')"
    )


def _estimate(problem: Problem, values: Values) -> Cost:
    """Two searches of so many evaluations, by the time of a few steps."""
    planted = planted_maximiser(values["dim"], seed=values["seed"])
    few = min(values["evaluations"], 10 * (values["dim"] + 1))
    started = time.monotonic()
    direct_search(planted, values["attack"], evaluations=few)
    return Cost(2 * (time.monotonic() - started) * values["evaluations"] / few, 0.0)


def _figure() -> go.Figure:
    """Both lines without data."""
    figure = go.Figure()
    for color in _NAMES.values():
        figure.add_scatter(
            mode="lines+markers",
            line={"color": color, "shape": "hv"},
            marker={"size": 4},
            hovertemplate="%{x} evaluations: %{y:.3g} below, by %{text}<extra></extra>",
        )
    figure.update_xaxes(title_text="evaluations, batched (a gradient counts as 3)", type="log")
    figure.update_yaxes(title_text="distance of the goal from its maximum", type="log", exponentformat="e")
    styled(figure)
    figure.update_layout(title={"font": {"size": 14}})
    return figure


def _draw(figure: go.Figure, results: Results) -> None:
    for trace, name in zip(figure.data, _NAMES, strict=True):
        found = cast(SearchPath, results[name])
        moved = np.flatnonzero(np.diff(found.values, prepend=-np.inf))
        trace.x, trace.y = found.cost()[moved].tolist(), as_list(-found.values[moved])
        trace.text = [found.stages[record] for record in moved]
        trace.name = found.method
    hybrid, alone = (cast(SearchPath, results[name]) for name in _NAMES)
    figure.layout.title.text = (
        f"{hybrid.problem}: {-hybrid.value:.2g} below by the {hybrid.method}, {-alone.value:.2g} by the "
        f"{alone.method}"
    )


PLANTED = View(
    title="Planted maximum",
    notebook="directional_attacks",
    help=_HELP,
    figure=_figure,
    compute=_compute,
    draw=_draw,
    code=_code,
    estimate=_estimate,
    controls=("dim", "attack", "evaluations", "seed"),
)
