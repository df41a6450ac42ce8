"""Work runs beside the page: it can be watched, cancelled, refused and can fail, and all of it is said."""

import dataclasses
import threading

import ipywidgets as widgets
import plotly.graph_objects as go
import pytest
import torch
from torch import nn

from workbench import Estimate, Problem
from workbench.explore import remembered, twin
from workbench.explore.shell import Explorer
from workbench.explore.view import Cost, View
from workbench.parameters import read_notebook
from workbench.progress import progress

WAIT = 20


def answer(n):
    return {"trace": Estimate("trace", float(n), 0.1, (n - 0.1, n + 0.1), 2)}


class Work:
    """A computation that waits for the test at its second step."""

    def __init__(self):
        self.calls = []
        self.begun, self.may_go_on = threading.Event(), threading.Event()

    def __call__(self, problem, values):
        self.calls.append(values)
        with progress("adding", 2) as advance:
            advance(1)
            self.begun.set()
            assert self.may_go_on.wait(WAIT)
            advance(1)
        return answer(values["n"])


@pytest.fixture(autouse=True)
def forgotten():
    remembered._results.clear()


@pytest.fixture
def make(make_notebook):
    path = make_notebook("n: Annotated[int, Interval(ge=1, le=9)] = 3\nx: float = 0.5\n")
    torch.manual_seed(0)
    problem = Problem(nn.Linear(2, 1), nn.MSELoss(), (torch.randn(4, 2), torch.randn(4, 1)))

    def build(compute, **options):
        def draw(figure, results):
            figure.data[0].y = [results["trace"].value]

        view = View(
            title="An example",
            notebook="example",
            help="<p>A <b>point</b>.</p>",
            figure=lambda: go.Figure(go.Scatter(y=[0])),
            compute=compute,
            draw=draw,
            code=lambda values: f"work(problem, n={values['n']})",
        )
        view = dataclasses.replace(view, **options)
        return Explorer(view, read_notebook(path), problem, {"n": 3, "x": 0.5})

    return build


def test_run_computes_with_the_values_of_the_controls(make):
    work = Work()
    work.may_go_on.set()
    explorer = make(work)
    explorer.controls["n"].value = 7
    explorer.controls["x"].value = "1e-2"
    explorer.job.run_button.click()
    explorer.job.wait(WAIT)
    assert work.calls == [{"n": 7, "x": 0.01}]
    assert explorer.results == answer(7)
    assert explorer.figure.data[0].y == (7,)
    assert "Done in" in explorer.job.status.value
    assert not explorer.job.run_button.disabled
    assert explorer.job.cancel_button.disabled


def test_a_second_run_is_refused_while_one_is_under_way(make):
    work = Work()
    explorer = make(work)
    explorer.job.run()
    assert work.begun.wait(WAIT)
    assert explorer.job.run_button.disabled
    explorer.job.run()
    assert "under way" in explorer.job.status.value
    work.may_go_on.set()
    explorer.job.wait(WAIT)
    assert len(work.calls) == 1


def test_cancel_stops_the_work_and_keeps_the_last_result(make):
    work = Work()
    explorer = make(work)
    explorer.show(answer(5))
    explorer.job.run()
    assert work.begun.wait(WAIT)
    explorer.job.cancel_button.click()
    work.may_go_on.set()
    explorer.job.wait(WAIT)
    assert "Cancelled" in explorer.job.status.value
    assert explorer.results == answer(5)
    assert explorer.figure.data[0].y == (5,)
    work.begun.clear()
    explorer.job.run()
    explorer.job.wait(WAIT)
    assert explorer.results == answer(3)


def test_a_value_that_is_not_allowed_is_named(make):
    work = Work()
    explorer = make(work)
    explorer.controls["x"].value = "abc"
    explorer.job.run()
    assert "Not started: x = &#x27;abc&#x27; is not allowed" in explorer.job.status.value
    assert not work.calls


def test_an_exception_shows_one_line_with_its_details_folded(make):
    def fail(problem, values):
        raise ValueError("too <curved>\nmore")

    explorer = make(fail)
    explorer.job.run()
    explorer.job.wait(WAIT)
    line, _, details = explorer.job.status.value.partition("<details>")
    assert "ValueError: too &lt;curved&gt;" in line
    assert "more" not in line
    assert "Traceback" in details
    assert not explorer.job.run_button.disabled


def test_the_same_question_is_answered_from_memory(make):
    work = Work()
    work.may_go_on.set()
    for text in ("Done in", "from memory"):
        explorer = make(work)
        explorer.job.run()
        explorer.job.wait(WAIT)
        assert text in explorer.job.status.value
        assert explorer.results == answer(3)
    assert len(work.calls) == 1


def test_what_was_cancelled_is_not_remembered(make):
    def stopped_early(problem, values):
        explorer.job.cancel_button.click()
        return answer(1)

    explorer = make(stopped_early)
    explorer.job.run()
    explorer.job.wait(WAIT)
    assert "Cancelled" in explorer.job.status.value
    assert explorer.results is None
    assert not remembered._results


def test_a_large_computation_asks_first(make):
    explorer = make(lambda problem, values: answer(1), estimate=lambda problem, values: Cost(7200, 2e9))
    explorer.job.run()
    explorer.job.wait(WAIT)
    assert "about 120 min and 2 GB: press Run again" in explorer.job.status.value
    assert explorer.results is None
    explorer.job.run()
    explorer.job.wait(WAIT)
    assert explorer.results == answer(1)


def test_a_confirmation_holds_for_its_values_only(make):
    explorer = make(lambda problem, values: answer(1), estimate=lambda problem, values: Cost(7200, 0))
    explorer.job.run()
    explorer.job.wait(WAIT)
    explorer.controls["n"].value = 4
    explorer.job.run()
    explorer.job.wait(WAIT)
    assert "press Run again" in explorer.job.status.value


def test_the_code_follows_the_controls(make):
    explorer = make(Work())
    explorer.controls["n"].value = 8
    assert explorer._code.text == "work(problem, n=8)"


def test_save_writes_what_is_shown(make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    explorer = make(Work())
    explorer.save_button.click()
    assert "nothing to save" in explorer.job.status.value
    explorer.show(answer(5))
    explorer._form.value = "csv"
    explorer.save_button.click()
    assert "Saved an-example-Linear-trace.csv" in explorer.job.status.value
    assert (tmp_path / "an-example-Linear-trace.csv").read_text().startswith("sample,trace")


def test_a_save_that_fails_is_said(make, tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    explorer = make(Work())
    explorer.show(answer(5))
    gone.rmdir()
    explorer.save_button.click()
    assert "Error" in explorer.job.status.value


def test_it_is_displayed_with_a_twin_for_the_time_after_the_kernel(make, monkeypatch):
    shown = []
    monkeypatch.setattr(twin, "display", lambda output, **options: shown.append(output))
    explorer = make(Work())
    explorer.show(answer(5))
    explorer._ipython_display_()
    live, still = shown
    assert "application/vnd.jupyter.widget-view+json" in live
    assert "wb-static" in still.data
    assert "data:image/png;base64," in still.data
    assert len(still.data) < 60_000
    assert "wb-live" in explorer._dom_classes


def test_after_a_rest_it_shows_what_was_computed_meanwhile_and_its_extras_as_they_were(make):
    work = Work()
    explorer = make(work, extras=lambda figure: {"scale": widgets.Dropdown(options=["log", "linear"])})
    explorer.extras["scale"].value = "linear"
    before = explorer.figure
    explorer.job.run()
    assert work.begun.wait(WAIT)
    explorer.rest()
    assert before.comm is None
    work.may_go_on.set()
    explorer.job.wait(WAIT)
    assert "Done in" in explorer.job.status.value
    explorer.resume()
    assert explorer.figure.comm is not None
    assert explorer.figure.data[0].y == (3,)
    assert explorer.extras["scale"].value == "linear"
    resumed = explorer.figure
    explorer.resume()
    assert explorer.figure is resumed
