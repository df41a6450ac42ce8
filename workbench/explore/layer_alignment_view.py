"""The view of alignment by layer: gradients and Hessians of one network in several environments."""

from typing import cast

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.domains import LayerAlignment, domain_problems, layer_alignment
from workbench.domains.environments import ANGLES
from workbench.domains.layer_alignments import COLORS, MEASURES
from workbench.explore.figure_data import as_list
from workbench.explore.style import styled
from workbench.explore.view import Cost, Results, Values, View

_ASKED = ("shift", "method", "weight", "seeds", "steps", "width")
_PAIRS = len(ANGLES) * (len(ANGLES) - 1) // 2  # of the shift with the most environments
_DASHES = ("solid", "dash")  # where colours come again
_TITLES = ("cosine of the gradients", "distance of the Hessians")
_MATRIX_TITLES = {"hessian": _TITLES[1], "ggn": "distance of the Gauss–Newton matrices"}
_HELP = """
<p>One trained network, looked at in each of its environments. <b>Left</b>: cosine of the angle between the
gradients of two environments, layer by layer. <b>Right</b>: spectral norm of the difference of the layer's
blocks of the Hessian, over the larger of the two blocks' norms; 0 is alike. A gap is a layer of dead
units. The test environment is the last one of a pair. Penalties see the <i>head</i> alone. Bars are 95%
intervals over the seeds.</p>"""


def _compute(problem: None, values: Values) -> Results:
    networks = domain_problems(**{name: values[name] for name in _ASKED})
    found = layer_alignment(networks)
    if found.interrupted:
        raise KeyboardInterrupt
    return {"alignment": found}


def _code(values: Values) -> str:
    arguments = ", ".join(f"{name}={values[name]!r}" for name in _ASKED)
    return (
        "import workbench as wb\n\n"
        f"networks = wb.domains.domain_problems({arguments})\n"
        "alignment = wb.domains.layer_alignment(networks)\n"
        "alignment.plot()\n"
        "print(alignment.summary())"
    )


def _estimate(problem: None, values: Values) -> Cost:
    """From 1.5 seconds a seed of coloured digits with default settings, of which half is the training."""
    return Cost(values["seeds"] * (0.8 + 0.004 * values["steps"] * values["width"] / 32), 0.0)


def _figure() -> go.Figure:
    """A line for each pair, for both measures."""
    figure = make_subplots(1, 2, horizontal_spacing=0.12, subplot_titles=_TITLES)
    for column in range(1, len(MEASURES) + 1):
        for place in range(_PAIRS):
            figure.add_scatter(
                name=str(place),
                legendgroup=str(place),
                showlegend=column == 1,
                mode="lines+markers",
                line={
                    "color": COLORS[place % len(COLORS)],
                    "width": 2,
                    "dash": _DASHES[place // len(COLORS)],
                },
                error_y={"type": "data", "thickness": 1, "width": 4},
                hovertemplate="%{x}: %{y:.3f} ± %{error_y.array:.2g}<extra>%{fullData.name}</extra>",
                row=1,
                col=column,
            )
    figure.update_yaxes(title_text="cosine", row=1, col=1)
    figure.update_yaxes(title_text="relative distance", rangemode="tozero", row=1, col=2)
    styled(figure, height=480)
    figure.update_layout(title={"font": {"size": 14}})
    return figure


def _draw(figure: go.Figure, results: Results) -> None:
    found = cast(LayerAlignment, results["alignment"])
    traces = iter(figure.data)
    for measure in MEASURES:
        for place in range(_PAIRS):
            line = next(traces)
            line.visible = place < len(found.pairs)
            if not line.visible:
                continue
            pair = found.pairs[place]
            means = [found.mean(pair, layer, measure) for layer in found.layers]
            line.name = " | ".join(pair)
            line.x, line.y = list(found.layers), as_list([mean for mean, _ in means])
            line.error_y.array = as_list([half for _, half in means])
    figure.layout.title.text = f"{found.networks} networks, residuals up to {found.largest_residual:.1g}"
    figure.layout.annotations[1].text = _MATRIX_TITLES[found.matrix]


def check_pairs(alignment: LayerAlignment) -> None:
    """Refuse a result with more pairs of data sets than there are lines; those computed here have fewer."""
    if len(alignment.pairs) > _PAIRS:
        raise ValueError(
            f"alignment has {len(alignment.pairs)} pairs of data sets, the explorer shows {_PAIRS} at most"
        )


LAYER_ALIGNMENT = View(
    title="Layers",
    notebook="domain_alignment",
    help=_HELP,
    figure=_figure,
    compute=_compute,
    draw=_draw,
    code=_code,
    estimate=_estimate,
    controls=_ASKED,
)
