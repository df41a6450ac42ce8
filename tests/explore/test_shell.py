"""Work runs beside the page: it can be watched, cancelled, refused and can fail, and all of it is said."""

import threading

import plotly.graph_objects as go
import pytest

from workbench.explore.shell import Explorer
from workbench.parameters import read_notebook
from workbench.progress import progress

WAIT = 20


class Work:
    """A computation that waits for the test at its second step."""

    def __init__(self):
        self.calls = []
        self.begun, self.may_go_on = threading.Event(), threading.Event()

    def __call__(self, values):
        self.calls.append(values)
        with progress("adding", 2) as advance:
            advance(1)
            self.begun.set()
            assert self.may_go_on.wait(WAIT)
            advance(1)
        return values["n"]


@pytest.fixture
def make(make_notebook):
    path = make_notebook("n: Annotated[int, Interval(ge=1, le=9)] = 3\nx: float = 0.5\n")

    def build(compute):
        def draw(figure, result):
            figure.data[0].y = [result]

        figure = go.FigureWidget(go.Figure(go.Scatter(y=[0])))
        return Explorer("An example", read_notebook(path), {"n": 3, "x": 0.5}, figure, compute, draw)

    return build


def test_run_computes_with_the_values_of_the_controls(make):
    work = Work()
    work.may_go_on.set()
    explorer = make(work)
    explorer.controls["n"].value = 7
    explorer.controls["x"].value = "1e-2"
    explorer.run_button.click()
    explorer.wait(WAIT)
    assert work.calls == [{"n": 7, "x": 0.01}]
    assert explorer.result == 7
    assert explorer.figure.data[0].y == (7,)
    assert "Done in" in explorer.status.value
    assert not explorer.run_button.disabled
    assert explorer.cancel_button.disabled


def test_a_second_run_is_refused_while_one_is_under_way(make):
    work = Work()
    explorer = make(work)
    explorer.run()
    assert work.begun.wait(WAIT)
    assert explorer.run_button.disabled
    explorer.run()
    assert "under way" in explorer.status.value
    work.may_go_on.set()
    explorer.wait(WAIT)
    assert len(work.calls) == 1


def test_cancel_stops_the_work_and_keeps_the_last_result(make):
    work = Work()
    explorer = make(work)
    explorer.show(5)
    explorer.run()
    assert work.begun.wait(WAIT)
    explorer.cancel_button.click()
    work.may_go_on.set()
    explorer.wait(WAIT)
    assert "Cancelled" in explorer.status.value
    assert explorer.result == 5
    assert explorer.figure.data[0].y == (5,)
    work.begun.clear()
    explorer.run()
    explorer.wait(WAIT)
    assert explorer.result == 3


def test_a_value_that_is_not_allowed_is_named(make):
    work = Work()
    explorer = make(work)
    explorer.controls["x"].value = "abc"
    explorer.run()
    assert "Not started: x = &#x27;abc&#x27; is not allowed" in explorer.status.value
    assert not work.calls


def test_an_exception_shows_one_line_with_its_details_folded(make):
    def fail(values):
        raise ValueError("too <curved>\nmore")

    explorer = make(fail)
    explorer.run()
    explorer.wait(WAIT)
    line, _, details = explorer.status.value.partition("<details>")
    assert "ValueError: too &lt;curved&gt;" in line
    assert "more" not in line
    assert "Traceback" in details
    assert not explorer.run_button.disabled
