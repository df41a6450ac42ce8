"""The view of every method at every layer: small pictures, a row per method and a column per layer."""

from typing import cast

import plotly.graph_objects as go

from workbench.colors import VERMILION
from workbench.explore.overlays import overlay_uri
from workbench.explore.saliency_controls import class_list, layer_list, method_list, picture_menu
from workbench.explore.saliency_parts import passes_cost, picture_code, shown_picture
from workbench.explore.style import styled
from workbench.explore.view import Cost, Results, Values, View
from workbench.problem import Problem
from workbench.saliency import SaliencyMaps, explain
from workbench.saliency.experiments import ClassRanking, usual_layers

_SIDE, _ROOM = 0.94, 150  # of a picture in its cell; pixels of a row
_HELP = """
<p>A row is a method, a column a layer, from the input on the left to the last. Down a column only the formula
changes, along a row only the layer. Each map is stretched to its own largest value; red speaks for the class
and blue against it where a map has a sign.</p>
<p>The ring is the maximum of the map. An <b>orange cross</b> in its place is a map that is class-blind: it
would be the same for every class. The pointer says why.</p>"""


def _compute(problem: Problem, values: Values) -> Results:
    shown, classes = shown_picture(problem, values)
    at = usual_layers(problem, values["layers"])
    maps = explain(problem.model, shown.inputs, classes.chosen, values["compared"], at, values["score"])
    return {"grid": maps, "classes": classes}


def _code(values: Values) -> str:
    return picture_code(values) + (
        f"layers = experiments.usual_layers(problem, {values['layers']!r})\n"
        "grid = wb.saliency.explain(\n"
        f"    problem.model, shown.inputs, classes.chosen,\n    {values['compared']!r},\n"
        f"    layers, {values['score']!r}\n"
        ")\n"
        "grid.plot()"
    )


def _estimate(problem: Problem, values: Values) -> Cost:
    return passes_cost(problem, 3.0)


def _figure() -> go.Figure:
    """All traces without data: maxima of maps, and marks of those that are blind; pictures come later."""
    figure = go.Figure()
    figure.add_scatter(
        name="maximum",
        mode="markers",
        marker={"symbol": "circle-open", "size": 11, "color": "white", "line": {"width": 2}},
        hovertemplate="%{text}<extra></extra>",
        showlegend=False,
    )
    figure.add_scatter(
        name="class-blind",
        mode="markers",
        marker={"symbol": "x", "size": 11, "color": VERMILION, "line": {"width": 1, "color": "white"}},
        hovertemplate="%{text}<extra></extra>",
    )
    figure.update_xaxes(side="top", showgrid=False, zeroline=False)
    figure.update_yaxes(showgrid=False, zeroline=False, automargin=True)
    styled(figure)
    figure.update_layout(legend={"y": -0.02}, margin={"t": 90, "b": 30}, title={"font": {"size": 14}})
    return figure


def _draw(figure: go.Figure, results: Results) -> None:
    maps, classes = cast(SaliencyMaps, results["grid"]), cast(ClassRanking, results["classes"])
    assert maps.inputs is not None
    maxima, blind = figure.data
    found: dict[bool, list[tuple[float, float, str]]] = {False: [], True: []}
    images = []
    for entry in maps.maps:
        column, row = maps.layers.index(entry.layer), maps.methods.index(entry.method)
        left, top = column - _SIDE / 2, row - _SIDE / 2
        images.append(
            {
                "source": overlay_uri(maps.inputs[0], entry.sized[0, 0]),
                "xref": "x",
                "yref": "y",
                "x": left,
                "y": top,
                "sizex": _SIDE,
                "sizey": _SIDE,
                "sizing": "stretch",
                "layer": "below",
            }
        )
        y, x = divmod(int(entry.sized[0, 0].argmax()), entry.size[1])
        told = f"{entry.method} at {entry.layer}: {entry.formula}<br>maximum at row {y}, column {x}"
        if entry.class_blind:
            found[True].append((column, row, f"{entry.method} at {entry.layer}:<br>{entry.reason}"))
        else:
            at = left + _SIDE * (x + 0.5) / entry.size[1], top + _SIDE * (y + 0.5) / entry.size[0]
            found[False].append((*at, told))
    for trace, is_blind in ((maxima, False), (blind, True)):
        trace.x, trace.y, trace.text = ([each[part] for each in found[is_blind]] for part in range(3))
    rows, columns = len(maps.methods), len(maps.layers)
    figure.layout.images = images
    figure.update_xaxes(
        tickvals=list(range(columns)), ticktext=list(maps.layers), range=[-0.5, columns - 0.5]
    )
    figure.update_yaxes(tickvals=list(range(rows)), ticktext=list(maps.methods), range=[rows - 0.5, -0.5])
    figure.update_yaxes(scaleanchor="x", constrain="domain")
    figure.update_xaxes(constrain="domain")
    figure.layout.height = 130 + _ROOM * rows
    figure.layout.title.text = (
        f"{classes.pictures[0]}: {classes.chosen_name()}, {maps.score} {maps.scores[0, 0].item():.3g}"
    )


GRID = View(
    title="Grid",
    notebook="saliency",
    help=_HELP,
    figure=_figure,
    compute=_compute,
    draw=_draw,
    code=_code,
    estimate=_estimate,
    controls=("picture", "rank", "compared", "layers", "score"),
    makers={"picture": picture_menu, "rank": class_list, "compared": method_list, "layers": layer_list},
)
