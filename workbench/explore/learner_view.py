"""The view of the learner: losses over passes beside fixed settings, and what was learnt, by learner."""

from typing import Any, cast

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.colors import BLUE, VERMILION
from workbench.explore.figure_data import as_list
from workbench.explore.slider import add_slider, set_slider, slider_step
from workbench.explore.style import styled
from workbench.explore.training_cost import training_cost
from workbench.explore.view import Cost, Results, Values, View
from workbench.problem import Problem
from workbench.stability.batch_size import LearnerContest, compare_learner
from workbench.stability.batch_size.learner_contest import COLORS, FIXED, LEARNERS

_ASKED = ("epochs", "seeds", "seed")
_HELP = """
<p>Heavy ball whose learning rate and momentum are set before each epoch by the largest and the smallest
eigenvalue of the Hessian on some of the examples. <b>Left</b>: geometric mean of the loss against all that
was spent, curvature counted: blue with the correction for the noise of batches, red without, orange with a
quarter of the rate; gray are fixed rates and momenta.</p>
<p><b>Right</b>: rate (blue) and momentum (red) over the epochs, every seed, for the learner of the slider
below.</p>"""


def _usable(problem: Problem, values: Values) -> tuple[int, int]:
    """Examples that the curvature is measured on, and batch size, cut to what there is."""
    examples = min(values["examples"], problem.num_examples)
    return examples, min(values["batch_size"], examples // 2)


def _compute(problem: Problem, values: Values) -> Results:
    examples, batch_size = _usable(problem, values)
    contest = compare_learner(
        problem,
        batch_size=batch_size,
        examples=examples,
        epochs=values["epochs"],
        seeds=values["seeds"],
        seed=values["seed"],
    )
    if contest.interrupted:
        raise KeyboardInterrupt
    return {"contest": contest}


def _code(values: Values) -> str:
    return (
        "from workbench.stability.batch_size import compare_learner\n\n"
        f"examples = min({values['examples']}, problem.num_examples)\n"
        f"batch_size = min({values['batch_size']}, examples // 2)\n"
        "contest = compare_learner(\n    problem, batch_size=batch_size, examples=examples, "
        f"{', '.join(f'{name}={values[name]}' for name in _ASKED)}\n)\n"
        "contest.plot()\n"
        "print(contest.summary())"
    )


def _estimate(problem: Problem, values: Values) -> Cost:
    """Some 40 gradients of the examples an epoch for curvature, and as many passes for fixed settings."""
    examples, batch_size = _usable(problem, values)
    passes = values["epochs"] * (1 + 40 * examples / problem.num_examples)
    gradients = values["seeds"] * passes * (len(LEARNERS) + len(FIXED))
    cost = training_cost(problem, gradients)
    steps = (passes + len(LEARNERS) * values["epochs"]) * problem.num_examples / batch_size
    return Cost(cost.seconds + 4e-3 * steps, cost.bytes * values["seeds"] * len(FIXED) / 8)


def _figure() -> go.Figure:
    """All traces without data: the fixed settings as one, the learners, then rates and momenta."""
    figure = make_subplots(1, 2, horizontal_spacing=0.12)
    figure.add_scatter(
        name="fixed",
        mode="lines",
        line={"color": "#999999", "width": 1},
        hovertemplate="%{text}: %{y:.3g} after %{x}<extra></extra>",
        row=1,
        col=1,
    )
    for color in COLORS:
        figure.add_scatter(
            mode="lines+markers",
            line={"color": color, "width": 2},
            marker={"size": 5},
            hovertemplate="%{y:.3g} after %{x:.0f}<extra>%{fullData.name}</extra>",
            row=1,
            col=1,
        )
    for name, color in (("rate", BLUE), ("momentum", VERMILION)):
        figure.add_scatter(
            name=name,
            showlegend=False,
            mode="lines+markers",
            line={"color": color, "width": 1},
            marker={"size": 4},
            hovertemplate=f"epoch %{{x}}: {name} %{{y:.3g}}<extra></extra>",
            row=1,
            col=2,
        )
    figure.update_xaxes(title_text="gradients over all the data", row=1, col=1)
    figure.update_xaxes(title_text="epoch", row=1, col=2)
    figure.update_yaxes(title_text="loss", type="log", exponentformat="power", row=1, col=1)
    figure.update_yaxes(title_text="rate, momentum", type="log", exponentformat="power", row=1, col=2)
    styled(figure, height=560)
    figure.update_layout(title={"font": {"size": 14}}, legend={"y": -0.45})
    return add_slider(figure, "learner: ")


def _draw(figure: go.Figure, results: Results) -> None:
    found = cast(LearnerContest, results["contest"])
    figure.data[0].text = [
        f"{rate:g} / {momentum:g}" for rate, momentum in found.fixed for _ in range(found.passes + 2)
    ]
    set_slider(figure, [_step(found, place) for place in range(len(found.learners))], active=0)


def _losses(found: LearnerContest) -> list[dict[str, Any]]:
    """What the traces on the left show: all fixed settings as one line with gaps, then each learner."""
    means = [as_list(found.mean_fixed(place)) for place in range(len(found.fixed))]
    fixed: dict[str, Any] = {
        "name": "fixed",
        "x": [x for mean in means for x in (*range(len(mean)), None)],
        "y": [y for mean in means for y in (*mean, None)],
    }
    learnt: list[dict[str, Any]] = [
        {"x": as_list(each.passes.mean(-1)), "y": as_list(found.mean_learnt(each)), "name": each.name}
        for each in found.learners
    ]
    return [{**each, "showlegend": True} for each in (fixed, *learnt)]


def _step(found: LearnerContest, place: int) -> dict[str, Any]:
    """Return a step of the slider: rates and momenta of one learner, a line for each seed.

    It names all traces, whose names and places in the legend a widget loses otherwise.
    """
    learner = found.learners[place]
    epochs = list(range(1, len(learner.rates) + 1))
    seeds = learner.rates.shape[1]
    changes = dict(enumerate(_losses(found)))
    for name, values in (("rate", learner.rates), ("momentum", learner.momenta)):
        positive = as_list(np.where(values > 0, values, np.nan).T)
        changes[len(changes)] = {
            "x": [*epochs, None] * seeds,
            "y": [each for line in positive for each in (*line, None)],
            "name": name,
            "showlegend": False,
        }
    passes, equal = found.better(place)
    title = (
        f"{learner.name}: of {len(found.fixed)} fixed settings {passes} are better at equal passes, "
        f"{equal} at equal epochs"
    )
    return slider_step(learner.name, place, {"title.text": title}, changes)


LEARNER = View(
    title="Learner",
    notebook="batch_size",
    help=_HELP,
    figure=_figure,
    compute=_compute,
    draw=_draw,
    code=_code,
    estimate=_estimate,
    controls=("batch_size", "examples", *_ASKED),
)
