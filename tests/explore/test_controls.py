"""A control for every kind of parameter, with its range, value and meaning."""

import ipywidgets as widgets
import pytest

from workbench.explore.controls import make_control
from workbench.parameters import read_notebook

CELL = """
from typing import Annotated, Literal
k: Annotated[int, Interval(ge=1, le=200)] = 10  # how many
above: Annotated[int, Interval(gt=0, lt=5)] = 3
seed: Annotated[int, Interval(ge=0, le=2147483647)] = 7
free: int = 4
tolerance: Annotated[float, Interval(gt=0, le=0.1)] = 1e-3
sigma: Annotated[float, Interval(ge=0, le=4)] = 1.6
which: Literal["LA", "SA"] = "SA"
flag: bool = True
text: str = "digits"
rates: list[float] = [0.1, 0.2]
"""


@pytest.fixture
def parameters(make_notebook):
    return {p.name: p for p in read_notebook(make_notebook(CELL)).parameters}


@pytest.mark.parametrize(
    ("name", "kind", "value"),
    [
        ("k", widgets.IntSlider, 10),
        ("above", widgets.IntSlider, 3),
        ("seed", widgets.Text, "7"),
        ("free", widgets.Text, "4"),
        ("tolerance", widgets.Text, "0.001"),
        ("sigma", widgets.FloatSlider, 1.6),
        ("which", widgets.Dropdown, "SA"),
        ("flag", widgets.Checkbox, True),
        ("text", widgets.Text, "digits"),
        ("rates", widgets.Text, "[0.1, 0.2]"),
    ],
)
def test_kind_and_value(parameters, name, kind, value):
    control = make_control(parameters[name], parameters[name].default)
    assert type(control) is kind
    assert control.value == value
    assert control.description == name


def test_range_and_meaning(parameters):
    control = make_control(parameters["k"], 20)
    assert (control.min, control.max, control.value, control.tooltip) == (1, 200, 20, "how many")
    control = make_control(parameters["above"], 3)
    assert (control.min, control.max) == (1, 4)
    control = make_control(parameters["sigma"], 0.5)
    assert (control.min, control.max, control.value) == (0, 4, 0.5)
    assert make_control(parameters["which"], "LA").options == ("LA", "SA")
