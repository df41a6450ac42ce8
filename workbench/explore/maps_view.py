"""The view of the maps of one picture: a panel per method, a slider over layers, classes and evidence."""

from collections.abc import Iterator
from typing import Any, cast

import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go
import torch.nn.functional as F
from plotly.colors import get_colorscale
from plotly.subplots import make_subplots

from workbench.colors import BLUE, SKY, VERMILION
from workbench.explore.controls import CONTROL_LAYOUT, CONTROL_STYLE
from workbench.explore.evidence_rows import add_table, draw_table
from workbench.explore.overlays import picture_uri, scaled
from workbench.explore.saliency_controls import class_list, layer_list, method_list, picture_menu
from workbench.explore.saliency_parts import combination_of, passes_cost, picture_code, shown_picture
from workbench.explore.slider import add_slider, set_slider, slider_step
from workbench.explore.style import styled
from workbench.explore.view import Cost, Results, Values, View
from workbench.problem import Problem
from workbench.saliency import SaliencyMap, SaliencyMaps, explain
from workbench.saliency.evidence import EvidenceTable
from workbench.saliency.experiments import ClassRanking, judge_pictures

_PANELS, _COLUMNS = 6, 3  # methods that are drawn, at most
_RINGS = _PANELS + 1  # place of the first ring among the annotations, after the titles
_CELLS = 56  # of a map along a side, at most; a finer one is averaged
_OPACITY = 0.6
_SIGNED, _UNSIGNED = get_colorscale("RdBu_r"), get_colorscale("Inferno")
_HELP = """
<p>The picture, and over it the map of each method at the layer that the slider below chooses; the last places
are the combination of all layers. Each map has its own scale: bright is large; red speaks for the class and
blue against it where a map has a sign. A map is drawn as it is at its layer: a block is one number
(<i>smooth</i> draws between them, which adds nothing). The ring is the maximum.</p>
<p><b>CLASS-BLIND</b> is a map that would be the same for every class. <b>Below</b>: the likeliest classes
with their logits; the dark one is explained, pick it from the list <code>class</code>. Ctrl with a click
picks several methods or layers. The last entry of <code>picture</code> takes a file of yours.</p>
<p><b>Beside the classes</b>: evidence for the methods at the last two layers, and for three maps that know
nothing of the network: random, the centre, edges. The darker the better within a column. It comes after the
maps, and is of this picture and class alone, or in a report of those that were measured there.</p>"""


def _compute(problem: Problem, values: Values) -> Iterator[Results]:
    if len(values["methods"]) > _PANELS:
        raise ValueError(f"{len(values['methods'])} methods: this view draws {_PANELS} at most")
    shown, classes = shown_picture(problem, values)
    maps = explain(
        problem.model,
        shown.inputs,
        classes.chosen,
        values["methods"],
        values["layers"],
        values["score"],
        combination_of(values),
    )
    found: Results = {"maps": maps, "classes": classes}
    yield found
    table = judge_pictures(
        problem,
        shown.inputs,
        classes.chosen,
        values["methods"],
        values["layers"],
        steps=values["metric_steps"],
        score=values["score"],
        seed=values["seed"],
    )
    yield {**found, "evidence": table}


def _code(values: Values) -> str:
    combination = combination_of(values)
    combine = "None" if combination is None else f"wb.saliency.{combination!r}"
    return picture_code(values) + (
        "maps = wb.saliency.explain(\n"
        f"    problem.model, shown.inputs, classes.chosen, {values['methods']!r},\n"
        f"    {values['layers']!r}, {values['score']!r}, {combine}\n"
        ")\n"
        "evidence = experiments.judge_pictures(\n"
        f"    problem, shown.inputs, classes.chosen, {values['methods']!r}, {values['layers']!r},\n"
        f"    steps={values['metric_steps']}, score={values['score']!r}, seed={values['seed']}\n"
        ")\n"
        "maps.plot()\n"
        "classes.plot()\n"
        "evidence.plot()"
    )


def _estimate(problem: Problem, values: Values) -> Cost:
    """Passes for the maps, and two forward passes for each step of insertion and deletion."""
    return passes_cost(problem, 2 + (2 * len(values["methods"]) + 3) * (values["metric_steps"] + 1))


def _figure() -> go.Figure:
    """All traces without data: a map for each panel, and the classes; rings as annotations; a slider."""
    rows = _PANELS // _COLUMNS
    figure = make_subplots(
        rows + 1,
        _COLUMNS,
        specs=[[{}] * _COLUMNS] * rows + [[{}, {"colspan": _COLUMNS - 1}, *[None] * (_COLUMNS - 2)]],
        subplot_titles=[" "] * (_PANELS + 1) + [""],
    )
    for panel in range(_PANELS):
        place = {"row": panel // _COLUMNS + 1, "col": panel % _COLUMNS + 1}
        figure.add_heatmap(
            showscale=False,
            opacity=_OPACITY,
            hovertemplate="row %{y:.0f}, column %{x:.0f}: %{z:.3f} of the largest<extra></extra>",
            **place,
        )
    figure.add_bar(
        orientation="h",
        showlegend=False,
        textposition="outside",
        textfont={"size": 12},
        cliponaxis=False,
        hovertemplate="%{y}: logit %{x:.4g}, probability %{text}<extra></extra>",
        row=rows + 1,
        col=1,
    )
    add_table(figure, row=rows + 1, col=2)
    for axis in (*figure.select_xaxes(), *figure.select_yaxes()):
        axis.update(visible=False)
    styled(figure, height=760)
    for panel in range(_PANELS):  # a slider changes traces of one kind alone, so the rings are none
        number = "" if panel == 0 else panel + 1
        figure.add_annotation(
            xref=f"x{number}", yref=f"y{number}", x=0, y=0, text="", showarrow=False, hovertext="maximum"
        )
    return add_slider(figure, "layer: ", pad=60)


def _draw(figure: go.Figure, results: Results) -> None:
    maps, classes = cast(SaliencyMaps, results["maps"]), cast(ClassRanking, results["classes"])
    _arrange(figure, len(maps.methods))
    _draw_picture(figure, maps)
    _draw_classes(figure, classes, len(maps.methods))
    evidence = cast(EvidenceTable | None, results.get("evidence"))
    draw_table(figure.data[_PANELS + 1], evidence, brief=True)
    for axis in (figure.layout[f"xaxis{_PANELS + 2}"], figure.layout[f"yaxis{_PANELS + 2}"]):
        axis.visible = evidence is not None
    steps = [_step(maps, layer, place) for place, layer in enumerate(maps.layers)]
    set_slider(figure, steps, active=len(steps) - 1)


def _arrange(figure: go.Figure, count: int) -> None:
    """Give the panels in use the room above, and the classes that below."""
    columns = min(count, _COLUMNS)
    rows = -(-count // _COLUMNS)
    bottom = _bottom(count)
    height = (1 - bottom) / rows
    for panel in range(_PANELS):
        row, column = divmod(panel, columns)
        used = panel < count
        left, top = (column / columns, 1 - row * height) if used else (0.0, 0.001)
        width, tall = (0.94 / columns, height - 0.07) if used else (0.001, 0.001)
        number = "" if panel == 0 else panel + 1
        figure.layout[f"xaxis{number}"].update(domain=[left, left + width], constrain="domain", visible=False)
        figure.layout[f"yaxis{number}"].update(
            domain=[top - tall, top],
            constrain="domain",
            constraintoward="top",
            scaleanchor=f"x{number}",
            visible=False,
        )
        figure.layout.annotations[panel].update(x=left + width / 2, y=top, text="", font={"size": 12})
        figure.data[panel].visible = used
        figure.layout.annotations[_RINGS + panel].update(
            text="◯" if used else "", font={"size": 16, "color": "white"}
        )
    figure.layout[f"yaxis{_PANELS + 1}"].update(
        domain=[0, bottom - 0.13], visible=True, autorange="reversed", automargin=True
    )
    figure.layout[f"xaxis{_PANELS + 1}"].update(domain=[0, 0.3], visible=True, title={"text": "logit"})
    figure.layout[f"yaxis{_PANELS + 2}"].update(domain=[0, bottom - 0.13])
    figure.layout[f"xaxis{_PANELS + 2}"].update(domain=[0.58, 1])
    figure.layout.height = 720 if rows == 1 else 1180


def _bottom(panels: int) -> float:
    """Where the panels end and the room for the classes begins, as a share of the height."""
    return 0.45 if panels <= _COLUMNS else 0.38


def _draw_picture(figure: go.Figure, maps: SaliencyMaps) -> None:
    assert maps.inputs is not None
    height, width = maps.inputs.shape[2:]
    source = picture_uri(maps.inputs[0])
    images = []
    for panel in range(len(maps.methods)):
        number = "" if panel == 0 else panel + 1
        figure.layout[f"xaxis{number}"].range = [-0.5, width - 0.5]
        figure.layout[f"yaxis{number}"].range = [height - 0.5, -0.5]
        images.append(
            {
                "source": source,
                "xref": f"x{number}",
                "yref": f"y{number}",
                "x": -0.5,
                "y": -0.5,
                "sizex": width,
                "sizey": height,
                "sizing": "stretch",
                "layer": "below",
            }
        )
    figure.layout.images = images


def _draw_classes(figure: go.Figure, classes: ClassRanking, panels: int) -> None:
    bars = figure.data[_PANELS]
    places = range(len(classes.names[0]))
    bars.y = [f"{place + 1}: {classes.names[0][place]}" for place in places]
    bars.x = classes.logits[0].tolist()
    bars.text = [f"{share:.2g}" for share in classes.probabilities[0].tolist()]
    bars.marker.color = [BLUE if place == classes.rank - 1 else SKY for place in places]
    figure.layout.annotations[_PANELS].update(
        text=f"{classes.pictures[0]}: {classes.chosen_name()} is explained (beside the bars: probability)",
        y=_bottom(panels) - 0.13,
        x=0.15,
    )


def _step(maps: SaliencyMaps, layer: str, place: int) -> dict[str, Any]:
    """Return a step of the slider: the maps at one layer, their maxima, and which are blind to classes."""
    traces: dict[int, dict[str, Any]] = {}
    layout: dict[str, Any] = {}
    for panel, method in enumerate(maps.methods):
        entry = maps.select(method, layer)
        values, peak = _cells(entry)
        size = entry.size
        signed = bool(values.min() < 0)
        cell = size[0] / values.shape[0], size[1] / values.shape[1]
        traces[panel] = {
            "z": np.round(values, 3).tolist(),
            "x": (np.arange(values.shape[1]) * cell[1] + cell[1] / 2 - 0.5).tolist(),
            "y": (np.arange(values.shape[0]) * cell[0] + cell[0] / 2 - 0.5).tolist(),
            "colorscale": _SIGNED if signed else _UNSIGNED,
            "zmin": -1 if signed else 0,
            "zmax": 1,
        }
        layout[f"annotations[{_RINGS + panel}].x"] = peak[1]
        layout[f"annotations[{_RINGS + panel}].y"] = peak[0]
        layout[f"annotations[{panel}].text"] = f"{method}: CLASS-BLIND" if entry.class_blind else method
        layout[f"annotations[{panel}].font.color"] = VERMILION if entry.class_blind else "#767676"
    return slider_step(layer, place, layout, traces)


def _cells(entry: SaliencyMap) -> tuple[np.ndarray, tuple[float, float]]:
    """The map as it is drawn, and the place (row, column) of its maximum in pixels of the input."""
    raw = entry.raw[:, 0].float()
    factor = -(-max(raw.shape[1:]) // _CELLS)
    drawn = F.avg_pool2d(raw[:, None], factor, ceil_mode=True)[0, 0] if factor > 1 else raw[0]
    at = int(entry.sized[0, 0].argmax())
    return scaled(drawn.cpu().numpy()), divmod(at, entry.size[1])


def _looks(figure: go.FigureWidget) -> dict[str, widgets.Widget]:
    """Return the opacity of the maps, and how they are drawn between their cells; neither computes."""
    opacity = widgets.FloatSlider(
        value=_OPACITY,
        min=0,
        max=1,
        step=0.05,
        description="opacity",
        tooltip="of the maps over the picture",
        layout=CONTROL_LAYOUT,
        style=CONTROL_STYLE,
    )
    between = widgets.Dropdown(
        options=[("blocks", False), ("smooth", "best")],
        description="drawn as",
        tooltip="blocks: one for each number of the map; smooth: interpolated",
        layout=CONTROL_LAYOUT,
        style=CONTROL_STYLE,
    )

    def change(name: str, value: Any) -> None:
        with figure.batch_update():
            for trace in figure.data[:_PANELS]:
                trace[name] = value

    opacity.observe(lambda event: change("opacity", event["new"]), names="value")
    between.observe(lambda event: change("zsmooth", event["new"]), names="value")
    return {"opacity": opacity, "between": between}


MAPS = View(
    title="Maps",
    notebook="saliency",
    help=_HELP,
    figure=_figure,
    compute=_compute,
    draw=_draw,
    code=_code,
    estimate=_estimate,
    extras=_looks,
    controls=(
        "picture",
        "rank",
        "methods",
        "layers",
        "score",
        "combination",
        "weights",
        "metric_steps",
        "seed",
    ),
    makers={"picture": picture_menu, "rank": class_list, "methods": method_list, "layers": layer_list},
)
