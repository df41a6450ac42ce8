"""The view of bits with noise beside rounded bits, with a slider through the shapes."""

from typing import Any, cast

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.compression import NoiseGap, noise_gap
from workbench.compression.noise_gaps import COLORS, SHAPES
from workbench.explore.figure_data import as_list
from workbench.explore.slider import add_slider, set_slider, slider_step
from workbench.explore.style import styled
from workbench.explore.view import Results, Values, View
from workbench.layers.scale_bounds import BOUNDS

_KINDS = BOUNDS[:3]
_SYMBOLS = ("circle", "diamond", "square")
_HELP = """
<p>A number follows a generalised Gaussian of scale α and shape β about 0. It costs so many bits on average if
it is rounded, as it is coded, and so many if uniform noise is added to it, as training has it. <b>Left</b>:
the difference. It is gone for wide scales, which every quantiser looks fine to, and for narrow ones, where
both cost nothing.</p>
<p><b>Right</b>: both, for the shape of the slider below, and the smallest scales that three bounds
allow.</p>"""


def _compute(problem: None, values: Values) -> Results:
    return {"gap": noise_gap(scales=values["scales"])}


def _code(values: Values) -> str:
    return (
        "import workbench as wb\n\n"
        f"gap = wb.compression.noise_gap(scales={values['scales']})\n"
        "gap.plot()\n"
        "print(gap.summary())"
    )


def _figure() -> go.Figure:
    """All traces without data: gaps of every shape, then both kinds of bits and the bounds of one."""
    figure = make_subplots(1, 2, horizontal_spacing=0.14)
    for shape, color in zip(SHAPES, COLORS, strict=True):
        figure.add_scatter(
            name=f"β = {shape:g}",
            mode="lines",
            line={"color": color, "width": 2},
            hovertemplate="α %{x:.3g}: %{y:+.3f} bits<extra>%{fullData.name}</extra>",
            row=1,
            col=1,
        )
    for name, dash in (("rounded", "solid"), ("with noise", "dash")):
        figure.add_scatter(
            name=name,
            mode="lines",
            line={"color": "#333333", "width": 2, "dash": dash},
            hovertemplate="α %{x:.3g}: %{y:.3f} bits<extra>%{fullData.name}</extra>",
            row=1,
            col=2,
        )
    for kind, symbol in zip(_KINDS, _SYMBOLS, strict=True):
        figure.add_scatter(
            name=f"bound: {kind}",
            mode="markers",
            marker={"color": "#333333", "size": 10, "symbol": f"{symbol}-open"},
            hovertemplate="α %{x:.3g}<extra>%{fullData.name}</extra>",
            row=1,
            col=2,
        )
    figure.update_xaxes(title_text="scale α (bins)", type="log")
    figure.update_yaxes(title_text="bits with noise − rounded", row=1, col=1)
    figure.update_yaxes(title_text="bits", rangemode="tozero", row=1, col=2)
    styled(figure, height=560)
    figure.update_layout(title={"font": {"size": 14}}, legend={"y": -0.45})
    return add_slider(figure, "β = ")


def _draw(figure: go.Figure, results: Results) -> None:
    found = cast(NoiseGap, results["gap"])
    steps = [_step(found, place) for place in range(len(found.shapes))]
    set_slider(figure, steps, active=len(steps) // 2)
    for place in range(len(SHAPES)):
        known = place < len(found.shapes)
        line = figure.data[place]
        line.showlegend = known
        line.x = as_list(found.scales) if known else []
        line.y = as_list(found.noisy[place] - found.rounded[place]) if known else []
        if known:
            line.name = f"β = {found.shapes[place]:g}"


def _step(found: NoiseGap, place: int) -> dict[str, Any]:
    """Return a step of the slider: both kinds of bits and the bounds, for one shape."""
    shape, bounds = f"{found.shapes[place]:g}", found.bounds[:, place].tolist()
    lines = [{"x": as_list(found.scales), "y": as_list(bits[place])} for bits in (found.rounded, found.noisy)]
    marks = [{"x": [bound], "y": [0.0]} for bound in bounds]
    told = ", ".join(f"{kind} {bound:.3g}" for kind, bound in zip(_KINDS, bounds, strict=True))
    title = f"smallest scales for β = {shape}: {told}"
    return slider_step(shape, place, {"title.text": title}, dict(enumerate(lines + marks, len(SHAPES))))


GAP = View(
    title="Noise and rounding",
    notebook="entropy_models",
    help=_HELP,
    figure=_figure,
    compute=_compute,
    draw=_draw,
    code=_code,
    controls=("scales",),
)
