"""A slider of plotly's, whose steps hold all that they change: a page needs no kernel to move it."""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

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


def set_slider(figure: go.Figure, steps: Sequence[Mapping[str, Any]], active: int) -> None:
    """Give the figure's first slider these steps, and change the figure as one of them does."""
    figure.layout.sliders[0].update(steps=steps, active=active)
    *data, layout = steps[active]["args"][:2]
    for path, value in layout.items():
        if path != _PLACE:
            figure.layout[path] = value
    if data:
        for name, values in data[0].items():
            for number, value in zip(steps[active]["args"][2], values, strict=True):
                figure.data[number][name] = value
