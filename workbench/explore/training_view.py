"""The view of a training: eigenvalues over its checkpoints, and the layers at the one that is chosen."""

from typing import Any, cast

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.colors import BLUE, GREEN, VERMILION
from workbench.curvature import Trajectory, along
from workbench.explore.curvature_parts import operator_of, product_seconds, search_cost
from workbench.explore.figure_data import as_list
from workbench.explore.slider import add_slider, set_slider, slider_step
from workbench.explore.style import SHARES, styled
from workbench.explore.view import Cost, Results, Values, View
from workbench.problem import Problem

_SHARES = 2  # place of the heat map among the traces
_HEIGHT, _ROW_PIXELS = 760, 45  # of the figure, at least, and for each layer
_HELP = """
<p><b>Above</b>: the largest eigenvalues at each checkpoint of the training, each rank a line; an orange cross
has not converged. <b>Below</b>: the layers of the eigenvectors at the checkpoint that the slider below
chooses (green line). Its title has the loss there, and how much of the space of these eigenvectors is
that of the last checkpoint: 1 is the same space.</p>
<p>Checkpoints come with the problem: <code>problem.with_checkpoints({0: state, 10: "epoch10.pt"})</code>.
Without any there is one, what the model holds now.</p>"""


def _compute(problem: Problem, values: Values) -> Results:
    k = min(values["k"], problem.num_parameters)
    trajectory = along(problem, k=k, matrix=values["operator"], tol=values["tolerance"], seed=values["seed"])
    return {"trajectory": trajectory}


def _code(values: Values) -> str:
    return (
        "import workbench as wb\n\n"
        "trajectory = wb.curvature.along(\n"
        f"    problem, k=min({values['k']}, problem.num_parameters), matrix={values['operator']!r}, "
        f"tol={values['tolerance']}, seed={values['seed']}\n"
        ")\n"
        "trajectory.plot()\n"
        "trajectory.plot_overlap()"
    )


def _estimate(problem: Problem, values: Values) -> Cost:
    """A search for each checkpoint, whose vectors are kept."""
    operator = operator_of(problem, values)
    search = search_cost(operator, values["k"] + 1, product_seconds(operator))
    count = max(1, len(problem.checkpoints))
    kept = count * values["k"] * problem.num_parameters * operator.dtype.itemsize
    return Cost(count * search.seconds, search.bytes + kept)


def _figure() -> go.Figure:
    """All traces without data: eigenvalues, those that did not converge, layers; a line, a slider."""
    titles = ("largest eigenvalues", "layers of the eigenvectors")
    figure = make_subplots(2, 1, vertical_spacing=0.18, subplot_titles=titles)
    above, below = {"row": 1, "col": 1}, {"row": 2, "col": 1}
    figure.add_scatter(
        mode="lines+markers",
        line={"color": BLUE, "width": 1},
        showlegend=False,
        hovertemplate="checkpoint %{text}<extra></extra>",
        **above,
    )
    figure.add_scatter(
        name="NOT converged",
        mode="markers",
        marker={"color": VERMILION, "symbol": "x-open", "size": 9},
        hovertemplate="λ ≈ %{y:.5g}<extra>NOT converged</extra>",
        **above,
    )
    figure.add_heatmap(
        **SHARES,
        colorbar={"thickness": 12, "len": 0.45, "y": 0.2},
        hovertemplate="eigenvector %{x}, %{y}: %{z:.1%}<extra></extra>",
        **below,
    )
    figure.add_vline(x=0, line={"color": GREEN, "width": 2}, **above)
    figure.update_xaxes(title_text="checkpoint (evenly spaced)", **above)
    figure.update_yaxes(title_text="eigenvalue", **above)
    figure.update_xaxes(title_text="index of the eigenpair", **below)
    figure.update_yaxes(type="category", automargin=True, autorange="reversed", **below)
    styled(figure, height=_HEIGHT)
    return add_slider(figure, "checkpoint: ", pad=60)


def _draw(figure: go.Figure, results: Results) -> None:
    trajectory = cast(Trajectory, results["trajectory"])
    eigenvalues, missed, layers = figure.data
    frame = trajectory.frame()
    eigenvalues.x, eigenvalues.y, eigenvalues.text = _joined(trajectory)
    places = {label: number for number, label in enumerate(trajectory.labels)}
    part = frame[~frame["converged"]]
    missed.x, missed.y = part["checkpoint"].map(places).tolist(), as_list(part["eigenvalue"])
    shares = trajectory.pairs[-1].layer_shares()
    layers.x, layers.y = shares.index.tolist(), shares.columns.tolist()
    steps = [_step(trajectory, number) for number in range(len(trajectory.labels))]
    set_slider(figure, steps, active=len(steps) - 1)
    figure.update_xaxes(tickvals=list(places.values()), ticktext=list(places), row=1, col=1)
    figure.update_xaxes(dtick=max(1, len(shares) // 12), row=2, col=1)
    figure.layout.height = max(_HEIGHT, _ROW_PIXELS * shares.shape[1])


def _joined(trajectory: Trajectory) -> tuple[list[Any], list[Any], list[str]]:
    """All ranks as one line with gaps between them: places, eigenvalues, and what the pointer says."""
    x: list[Any] = []
    y: list[Any] = []
    text: list[str] = []
    for rank, part in trajectory.frame().groupby("index"):
        x += [*range(len(part)), None]
        y += [*part["eigenvalue"].tolist(), None]
        for label, value, residual in zip(
            part["checkpoint"], part["eigenvalue"], part["residual"], strict=True
        ):
            text.append(f"{label}: λ<sub>{rank}</sub> = {value:.5g} ± {residual:.1g}")
        text.append("")
    return x, y, text


def _step(trajectory: Trajectory, number: int) -> dict[str, Any]:
    """Return a step of the slider: the line moves, and the layers below are those of the place."""
    overlap, error = trajectory.overlap_last[number], trajectory.overlap_last_error[number]
    told = f"loss {trajectory.loss[number]:.3g}, overlap with the last {overlap:.2f} ± {error:.1g}"
    shares = as_list(trajectory.pairs[number].layer_shares().T)
    line = {"shapes[0].x0": number, "shapes[0].x1": number}
    return slider_step(
        trajectory.labels[number], number, line | {"annotations[1].text": told}, {_SHARES: {"z": shares}}
    )


TRAINING = View(
    title="Training",
    notebook="curvature",
    help=_HELP,
    figure=_figure,
    compute=_compute,
    draw=_draw,
    code=_code,
    estimate=_estimate,
    controls=("operator", "k", "tolerance", "seed"),
)
