"""Controls made from the parameters cell of a notebook, the one schema of what can be asked."""

from typing import Any

import ipywidgets as widgets

from workbench.parameters import Parameter

_SLIDER_STEPS = 1000  # a slider with more steps than pixels cannot be set
CONTROL_LAYOUT = widgets.Layout(width="auto", min_width="240px")
CONTROL_STYLE = {"description_width": "90px"}


def make_control(parameter: Parameter, value: Any) -> widgets.ValueWidget:
    """Return the widget for one parameter: a slider, a menu, a check box or a text field.

    What a text field holds is text; :meth:`workbench.parameters.Notebook.validate` reads it by its type.
    """
    common = {
        "value": value,
        "description": parameter.name,
        "tooltip": parameter.meaning,
        "layout": CONTROL_LAYOUT,
        "style": CONTROL_STYLE,
    }
    if parameter.choices is not None:
        return widgets.Dropdown(options=parameter.choices, **common)
    if parameter.type == "bool":
        return widgets.Checkbox(**common)
    if parameter.type == "int" and parameter.interval is not None:
        return _whole_number(parameter, common)
    return widgets.Text(**{**common, "value": parameter.text(value)}, continuous_update=False)


def _whole_number(parameter: Parameter, common: dict[str, Any]) -> widgets.ValueWidget:
    low: Any
    high: Any
    assert parameter.interval is not None
    low = parameter.interval.ge if parameter.interval.ge is not None else _beside(parameter.interval.gt, +1)
    high = parameter.interval.le if parameter.interval.le is not None else _beside(parameter.interval.lt, -1)
    if low is None or high is None or high - low > _SLIDER_STEPS:
        return widgets.Text(**{**common, "value": str(common["value"])}, continuous_update=False)
    return widgets.IntSlider(min=low, max=high, continuous_update=False, **common)


def _beside(end: Any, step: int) -> Any:
    return None if end is None else end + step
