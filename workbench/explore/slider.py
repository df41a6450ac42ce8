"""A slider of plotly's, whose steps hold all that they change: a page needs no kernel to move it."""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

_PLACE = "sliders[0].active"  # or a page that is loaded again has the slider where it was at first


def add_slider(figure: go.Figure, prefix: str, pad: int = 50) -> go.Figure:
    """Give a figure a slider, in place; it is not seen before it has two steps.

    Parameters
    ----------
    figure : go.Figure
        Of which it is the only slider.
    prefix : str
        What stands before the label of the step that is active.
    pad : int, default 50
        Pixels above it, for what the figure shows below its axes.
    """
    return figure.update_layout(sliders=[{"currentvalue": {"prefix": prefix}, "pad": {"t": pad}}])


def slider_step(
    label: str,
    place: int,
    layout: Mapping[str, Any],
    traces: Mapping[int, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Return a step of the figure's slider.

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
    """Give the figure's slider these steps, and change the figure as one of them does."""
    figure.layout.sliders[0].steps = steps  # an update would mix them with those of a result before
    _take(figure, steps[active])


def move_slider(figure: go.FigureWidget, share: float) -> None:
    """Take the step at a share of the slider's way, from 0 to 1, if it has steps by now."""
    steps = figure.layout.sliders[0].steps
    if steps:
        with figure.batch_update():
            _take(figure, steps[round(share * (len(steps) - 1))])


def _take(figure: go.Figure, step: Mapping[str, Any]) -> None:
    *data, layout = step["args"][:2]
    for path, value in layout.items():
        figure.layout[path] = value
    if data:
        for name, values in data[0].items():
            for number, value in zip(step["args"][2], values, strict=True):
                figure.data[number][name] = value
