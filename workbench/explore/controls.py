"""Controls made from the parameters cell of a notebook, the one schema of what can be asked."""

from typing import Any

import ipywidgets as widgets
from annotated_types import Interval

from workbench.parameters import Parameter

_SLIDER_STEPS = 1000  # a slider with more steps than pixels cannot be set
_FRACTIONS = 100  # steps of a slider for a number with a fraction
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
    if parameter.type == "float" and parameter.interval is not None and _is_closed(parameter.interval):
        return _fraction(parameter, common)
    return widgets.Text(**{**common, "value": parameter.text(value)}, continuous_update=False)


def read_control(control: widgets.Widget) -> Any:
    """Return what a control holds; several names are a tuple there, and a list in a notebook."""
    return list(control.value) if isinstance(control.value, tuple) else control.value


def _whole_number(parameter: Parameter, common: dict[str, Any]) -> widgets.ValueWidget:
    low: Any
    high: Any
    assert parameter.interval is not None
    low = parameter.interval.ge if parameter.interval.ge is not None else _beside(parameter.interval.gt, +1)
    high = parameter.interval.le if parameter.interval.le is not None else _beside(parameter.interval.lt, -1)
    if low is None or high is None or high - low > _SLIDER_STEPS:
        return widgets.Text(**{**common, "value": str(common["value"])}, continuous_update=False)
    return widgets.IntSlider(min=low, max=high, continuous_update=False, **common)


def _fraction(parameter: Parameter, common: dict[str, Any]) -> widgets.FloatSlider:
    low, high = parameter.minimum, parameter.maximum
    step = (high - low) / _FRACTIONS
    return widgets.FloatSlider(min=low, max=high, step=step, continuous_update=False, **common)


def _is_closed(interval: Interval) -> bool:
    """Whether both ends belong to it: open ends are of numbers that may be of any magnitude."""
    return interval.ge is not None and interval.le is not None


def _beside(end: Any, step: int) -> Any:
    return None if end is None else end + step
