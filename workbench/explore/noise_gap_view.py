"""The view of bits with noise beside rounded bits, with a slider through the shapes."""

from typing import Any, cast

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.compression import NoiseGap, noise_gap
from workbench.compression.noise_gaps import COLORS, SHAPES
from workbench.explore.figure_data import as_list
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
    figure.update_layout(
        title={"font": {"size": 14}},
        legend={"y": -0.45},
        sliders=[{"currentvalue": {"prefix": "β = "}, "pad": {"t": 50}}],
    )
    return figure


def _draw(figure: go.Figure, results: Results) -> None:
    found = cast(NoiseGap, results["gap"])
    middle = len(found.shapes) // 2
    steps = [_step(found, place) for place in range(len(found.shapes))]
    figure.layout.sliders[0].update(steps=steps, active=middle)
    for place in range(len(SHAPES)):
        known = place < len(found.shapes)
        line = figure.data[place]
        line.showlegend = known
        line.x = as_list(found.scales) if known else []
        line.y = as_list(found.noisy[place] - found.rounded[place]) if known else []
        if known:
            line.name = f"β = {found.shapes[place]:g}"
    for trace, (x, y) in zip(figure.data[len(SHAPES) :], _right(found, middle), strict=True):
        trace.x, trace.y = x, y
    figure.layout.title.text = _title(found, middle)


def _right(found: NoiseGap, place: int) -> list[tuple[list[Any], list[Any]]]:
    """The data of the traces on the right, for one shape."""
    scales = as_list(found.scales)
    lines = [(scales, as_list(found.rounded[place])), (scales, as_list(found.noisy[place]))]
    return lines + [([float(bound)], [0.0]) for bound in found.bounds[:, place]]


def _step(found: NoiseGap, place: int) -> dict[str, Any]:
    """Return a step of the slider, with all that it changes, so that a page needs no kernel to take it."""
    data = _right(found, place)
    traces = list(range(len(SHAPES), len(SHAPES) + len(data)))
    return {
        "label": f"{found.shapes[place]:g}",
        "method": "update",
        "args": [
            {"x": [x for x, _ in data], "y": [y for _, y in data]},
            {"title.text": _title(found, place), "sliders[0].active": place},
            traces,
        ],
    }


def _title(found: NoiseGap, place: int) -> str:
    told = ", ".join(
        f"{kind} {bound:.3g}" for kind, bound in zip(_KINDS, found.bounds[:, place], strict=True)
    )
    return f"smallest scales for β = {found.shapes[place]:g}: {told}"


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
