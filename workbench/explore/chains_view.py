"""The view of chains on the sphere: what last iterate and average know of the direction; a slider over n."""

from typing import Any, cast

import plotly.graph_objects as go

from workbench.colors import BLUE, GREEN, ORANGE
from workbench.explore.figure_data import as_list
from workbench.explore.slider import add_slider, set_slider, slider_step
from workbench.explore.style import styled
from workbench.explore.view import Cost, Results, Values, View
from workbench.particles import ChainRun, averaging_time, langevin, single_index, tensor_pca
from workbench.particles.planted.chain_run import CURVES

_COLORS = {"last": ORANGE, "average": BLUE, "likeness": GREEN}
_HELP = """
<p>A direction is planted on the sphere, and noisy gradient descent looks for it, in several instances at
once. <b>Orange</b>: the cosine of the last iterate with it. <b>Blue</b>: that of the average so far, which
for even k is the first eigenvector of the average of θθᵀ. Bars: two standard errors.</p>
<p><b>Green</b>: the cosine of the average with the partial trace of the data, which a hot chain tends to;
dotted, how fast, to first order in β (odd k). Where the blue line leaves for 1 although the green one does
not, the chain has found the direction by itself.</p>
<p>Time is counted in times in which a direction is forgotten. The slider below changes the number of samples
n = d<sup>p</sup>.</p>"""


def planted_model(values: Values) -> Any:
    """The model that the controls name, at all exponents."""
    make = tensor_pca if values["model"] == "tensor" else single_index
    sizes = [max(1, round(values["dim"] ** p)) for p in values["exponents"]]
    return make(values["dim"], sizes, values["order"], runs=values["runs"], seed=values["seed"])


def _compute(problem: None, values: Values) -> Results:
    asked = {name: values[name] for name in ("beta", "step", "length", "seed")}
    return {"chains": langevin(planted_model(values), **asked)}


def _code(values: Values) -> str:
    make = "tensor_pca" if values["model"] == "tensor" else "single_index"
    asked = ", ".join(f"{name}={values[name]}" for name in ("beta", "step", "length", "seed"))
    return (
        "import workbench as wb\n\n"
        f"sizes = [max(1, round({values['dim']} ** p)) for p in {values['exponents']}]\n"
        f"model = wb.particles.{make}(\n"
        f"    {values['dim']}, sizes, {values['order']}, runs={values['runs']}, seed={values['seed']}\n"
        ")\n"
        f"chains = wb.particles.langevin(model, {asked})\n"
        "chains.plot()\n"
        "print(chains.summary())"
    )


def step_seconds(values: Values) -> float:
    """Of a step of all chains: 1.6e10 operations a second and half a millisecond, as measured on one core."""
    dim, order, runs = values["dim"], values["order"], values["runs"]
    if values["model"] == "tensor":
        operations = 2 * runs * len(values["exponents"]) * dim**order
    else:
        operations = 25 * runs * sum(dim**p for p in values["exponents"]) * dim
    return operations / 1.6e10 + 5e-4


def chain_steps(values: Values) -> float:
    """How many a chain has, without its burn-in."""
    time = averaging_time(values["order"], values["dim"], values["beta"])
    return values["length"] * time / values["step"]


def instance_numbers(values: Values) -> float:
    """How many numbers an instance consists of."""
    dim = values["dim"]
    return dim ** values["order"] if values["model"] == "tensor" else dim ** (1 + max(values["exponents"]))


def _estimate(problem: None, values: Values) -> Cost:
    return Cost(chain_steps(values) * step_seconds(values), 8 * values["runs"] * instance_numbers(values))


def _figure() -> go.Figure:
    """All traces without data: three curves, and the line of theory."""
    figure = go.Figure()
    for name, (label, _) in CURVES.items():
        figure.add_scatter(
            name=label,
            mode="lines+markers",
            line={"color": _COLORS[name], "width": 2.5},
            marker={"size": 4},
            error_y={"type": "data", "thickness": 1, "width": 2},
            hovertemplate="after %{x:.3g}: %{y:.3f} ± %{error_y.array:.2g}<extra>%{fullData.name}</extra>",
        )
    figure.add_scatter(
        name="the same, first order in β", mode="lines", line={"color": GREEN, "dash": "dot", "width": 1.5}
    )
    figure.update_xaxes(title_text="time, in which a direction is forgotten", type="log")
    figure.update_yaxes(title_text="cosine", range=[-0.3, 1.05])
    styled(figure, height=600)
    figure.update_layout(title={"font": {"size": 14}}, legend={"y": 1.0, "x": 1.02, "orientation": "v"})
    return add_slider(figure, "n = ")


def _draw(figure: go.Figure, results: Results) -> None:
    found = cast(ChainRun, results["chains"])
    steps = [_step(found, place) for place in range(len(found.sizes))]
    set_slider(figure, steps, active=found.middle)
    figure.data[-1].showlegend = bool(found.order % 2)


def _step(found: ChainRun, place: int) -> dict[str, Any]:
    """Return a step of the slider: all curves for one number of samples, and where they end."""
    curves = [found.curve(name, place) for name in CURVES]
    time = as_list(found.times[:, place])
    theory = as_list(found.predicted_likeness()[:, place]) if found.order % 2 else []
    n = found.sizes[place]
    last, average, _ = (mean[-1] for mean, _ in curves)
    trace = float(found.partial_trace[:, place].mean())
    told = (
        f"n = d^{found.exponents[place]:.2f}, cosines with the direction: last iterate {last:.2f}, "
        f"average {average:.2f}, partial trace {trace:.2f}"
    )
    traces: dict[int, dict[str, Any]] = {
        number: {"x": time, "y": as_list(mean), "error_y.array": as_list(2 * error)}
        for number, (mean, error) in enumerate(curves)
    }
    traces[len(curves)] = {"x": time if theory else [], "y": theory, "error_y.array": None}
    return slider_step(str(n), place, {"title.text": told}, traces)


CHAINS = View(
    title="Chains",
    notebook="langevin",
    help=_HELP,
    figure=_figure,
    compute=_compute,
    draw=_draw,
    code=_code,
    estimate=_estimate,
    controls=("model", "order", "dim", "exponents", "runs", "beta", "step", "length", "seed"),
)
