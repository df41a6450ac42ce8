"""A slider of plotly's, whose steps hold all that they change: a page needs no kernel to move it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from workbench.explore.figure_data import as_list

_PLACE = "sliders[0].active"  # or a page that is loaded again has the slider where it was at first


def slider_step(
    label: str,
    place: int,
    layout: Mapping[str, Any],
    traces: Mapping[int, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Return a step of the figure's first slider.

    Parameters
    ----------
    label : str
        What the slider shows there.
    place : int
        Of the step, from 0.
    layout : mapping
        What changes in the layout, by path: ``{"title.text": "…", "shapes[0].x0": 1.0}``.
    traces : mapping of int to mapping, optional
        What changes in traces, by their number; all of them change the same properties.
    """
    layout = {**layout, _PLACE: place}
    if not traces:
        return {"label": label, "method": "relayout", "args": [layout]}
    properties = next(iter(traces.values()))
    data = {name: [changes[name] for changes in traces.values()] for name in properties}
    return {"label": label, "method": "update", "args": [data, layout, list(traces)]}


def slider_below(prefix: str, gap: int = 50) -> list[dict[str, Any]]:
    """Return the ``sliders`` of a layout: one, without steps yet.

    Parameters
    ----------
    prefix : str
        Stands before the label of its place.
    gap : int
        Pixels between it and the plot, for what stands at the axis.
    """
    return [{"currentvalue": {"prefix": prefix}, "pad": {"t": gap}}]


def set_slider(figure: go.Figure, steps: Sequence[Mapping[str, Any]], active: int) -> None:
    """Give the figure's first slider these steps, and change the figure as one of them does.

    All other changes of the figure come before. A widget forgets the names of traces that a step does not
    mention, and their places in the legend: each step repeats them, and what these traces have of the
    properties that it changes. Left out are those without a name, and those without such a property.
    """
    show_step(figure, steps[active])
    steps = [_with_names(figure, step) for step in steps]
    figure.layout.sliders[0].update(steps=steps, active=active)


def show_step(figure: go.Figure, step: Mapping[str, Any]) -> None:
    """Change the figure as a step of its slider does, the place of the slider included."""
    *data, layout = step["args"][:2]
    for path, value in layout.items():
        figure.layout[path] = value
    if data:
        for name, values in data[0].items():
            for number, value in zip(step["args"][2], values, strict=True):
                figure.data[number][name] = value


def _with_names(figure: go.Figure, step: Mapping[str, Any]) -> Mapping[str, Any]:
    if step["method"] != "update":
        return step
    data, layout, numbers = step["args"]
    given = {number: {name: data[name][at] for name in data} for at, number in enumerate(numbers)}
    told = [number for number in range(len(figure.data)) if number in given or _tells(figure, number, data)]
    changed = {
        name: [
            given[number][name] if name in given.get(number, ()) else _held(figure, number, name)
            for number in told
        ]
        for name in sorted({*data, "name", "showlegend"})
    }
    return {**step, "args": [changed, layout, told]}


def _tells(figure: go.Figure, number: int, data: Mapping[str, Any]) -> bool:
    """Whether a trace has a name or a place in the legend, and all of these properties."""
    trace = figure.data[number]
    listed = trace.name is not None or trace.showlegend is not None
    return listed and all(tuple(name.split(".")) in trace for name in data)


def _held(figure: go.Figure, number: int, name: str) -> Any:
    """What a trace has of a property, as a page can hold it."""
    value = figure.data[number][name]
    if isinstance(value, np.ndarray):
        return as_list(value) if value.dtype.kind in "fiu" else value.tolist()
    return list(value) if isinstance(value, tuple) else value
