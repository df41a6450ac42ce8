"""Tabs show one explorer at a time and keep what each shows."""

import plotly.graph_objects as go
import pytest
import torch
from ipywidgets.widgets.widget import _instances
from torch import nn

from workbench import Estimate, Problem
from workbench.explore import present as presenting
from workbench.explore.live_figure import LiveFigure
from workbench.explore.still import Still, Stills
from workbench.explore.tabs import Tabs
from workbench.explore.view import View
from workbench.parameters import read_notebook


def view(title, controls):
    def draw(figure, results):
        figure.data[0].y = [results["trace"].value]

    return View(
        title=title,
        notebook="example",
        help="",
        figure=lambda: go.Figure(go.Scatter(y=[])),
        compute=lambda problem, values: {
            "trace": Estimate("trace", float(sum(values.values())), 0.1, (1.0,), 2)
        },
        draw=draw,
        code=str,
        controls=controls,
    )


VIEWS = view("First", ("n",)), view("Second", ("n", "m"))


@pytest.fixture
def problem():
    return Problem(nn.Linear(2, 1), nn.MSELoss(), (torch.randn(4, 2), torch.randn(4, 1)))


@pytest.fixture
def schema(make_notebook):
    return read_notebook(make_notebook("n: int = 3\nm: int = 4\n"))


def test_each_view_has_its_own_controls_and_keeps_its_results(problem, schema):
    tabs = Tabs(VIEWS, schema, problem, {"n": 3, "m": 4}, {})
    assert set(tabs.shown.controls) == {"n"}
    second = tabs.show("Second")
    assert set(second.controls) == {"n", "m"}
    second.job.run()
    second.job.wait(20)
    assert list(second.figure.data[0].y) == [7.0]
    assert tabs.show("First").results is None
    assert tabs.show("Second") is second


def test_a_press_of_the_button_shows_the_other(problem, schema):
    tabs = Tabs(VIEWS, schema, problem, {"n": 3, "m": 4}, {})
    tabs.choice.value = "Second"
    assert tabs._place.children == (tabs.show("Second"),)


def test_known_results_stand_in_their_tab(problem, schema):
    known = {"trace": Estimate("trace", 5.0, 0.1, (1.0,), 2)}
    tabs = Tabs(VIEWS, schema, problem, {"n": 3, "m": 4}, {"Second": known})
    assert tabs.shown.results is None
    assert list(tabs.show("Second").figure.data[0].y) == [5.0]


def test_a_report_shows_what_is_known_or_computes_the_first(problem, schema, monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBENCH_RUN", str(tmp_path))
    monkeypatch.setattr(presenting, "read_notebook", lambda name: schema)
    still = presenting.present(VIEWS, problem, {"n": 2})
    assert isinstance(still, Still)
    assert list(still.figure.data[0].y) == [2.0]
    known = {"trace": Estimate("trace", 5.0, 0.1, (1.0,), 2)}
    both = presenting.present(VIEWS, problem, {}, {"First": known, "Second": known})
    assert isinstance(both, Stills)
    assert len(both.stills) == 2


def test_one_figure_is_alive_and_a_page_can_ask_for_the_state_of_every_widget(problem, schema):
    known = {"First": {"trace": Estimate("trace", 5.0, 0.1, (1.0,), 2)}}
    before = set(_instances)
    tabs = Tabs(VIEWS, schema, problem, {"n": 3, "m": 4}, known)
    for title in ("Second", "First"):
        tabs.show(title)
        alive = [widget for name, widget in _instances.items() if name not in before]
        assert [each for each in alive if isinstance(each, LiveFigure)] == [tabs.shown.figure]
        for widget in alive:
            assert widget.get_state()
    assert list(tabs.shown.figure.data[0].y) == [5.0]
