"""Lists to pick from: what is picked is the value, and what is not among the options stays visible."""

import ipywidgets as widgets
import pytest

from workbench.explore.controls import read_control
from workbench.explore.lists import PickOrType, pick_one, pick_several
from workbench.parameters import Parameter, read_notebook

CELL = """
picture: str = "0"  # which one
rank: int = 1
methods: list[str] = ["a", "c"]  # of the maps
"""
OPTIONS = [("cat", "0"), ("dog", "1")]


@pytest.fixture
def parameters(make_notebook) -> dict[str, Parameter]:
    return {each.name: each for each in read_notebook(make_notebook(CELL)).parameters}


def test_one_of_several_names(parameters):
    control = pick_one(parameters["rank"], 2, [("cat", 1), ("dog", 2)])
    assert (control.label, control.value, control.description) == ("dog", 2, "rank")
    assert pick_one(parameters["rank"], 5, [("cat", 1), ("dog", 2)]).value == 1


def test_several_names_are_read_as_a_list_and_counted(parameters):
    control = pick_several(parameters["methods"], ["a", "c"], ["a", "b", "c"])
    assert isinstance(control, widgets.SelectMultiple)
    assert read_control(control) == ["a", "c"]
    assert control.description == "methods (2)"
    control.value = ("b",)
    assert read_control(control) == ["b"]
    assert control.description == "methods (1)"
    assert control.tooltip.startswith("of the maps")


def test_a_name_that_is_no_option_can_be_seen_and_left_out(parameters):
    control = pick_several(parameters["methods"], ["z", "a"], ["a", "b"])
    assert control.options == ("a", "b", "z")
    assert read_control(control) == ["z", "a"]


def test_the_last_entry_of_the_menu_opens_the_field(parameters):
    control = PickOrType(parameters["picture"], "0", OPTIONS, "another", "file")
    told = []
    control.observe(lambda change: told.append(change["new"]), names="value")
    assert (control.value, control.children) == ("0", (control.menu,))
    control.menu.value = "1"
    control.menu.label = "another"
    assert control.children == (control.menu, control.field)
    control.field.value = "cat.png"
    control.menu.value = "0"
    assert told == ["1", "", "cat.png", "0"]
    assert control.children == (control.menu,)


@pytest.mark.parametrize(("value", "picked"), [("1", "1"), ("dog", "1"), ("mine.png", None)])
def test_a_value_is_found_by_itself_or_by_its_name_or_stands_in_the_field(parameters, value, picked):
    control = PickOrType(parameters["picture"], value, OPTIONS, "another", "file")
    assert control.menu.value == (picked or "")
    assert control.value == (picked or value)
