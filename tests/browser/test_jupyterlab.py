import nbformat
import pytest
from jupyterlab_driver import (
    EVERY_CELL_HAS_RUN,
    figure_data,
    open_notebook,
    press,
    run_all,
    wait_for_new_data,
)
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import expect

CODE = """\
import ipywidgets
import plotly.graph_objects as go
from workbench.explore.live_figure import LiveFigure

figure = LiveFigure(go.Figure(go.Scatter(x=[0, 1, 2], y=[0, 1, 2])))
slider = ipywidgets.IntSlider(value=1, min=1, max=9)


def rescale(change):
    with figure.batch_update():
        figure.data[0].y = [change.new * x for x in (0, 1, 2)]


slider.observe(rescale, "value")
ipywidgets.VBox([slider, figure])
"""

# As on a busy machine: plotly is read for longer than a widget may take to start.
LATE_PLOTLY = """\
import plotly.graph_objects as go
from traitlets import default
from workbench.explore.live_figure import LiveFigure, PlotlyLibrary


class Late(LiveFigure):
    @default("_library")
    def late(self):
        pause = "await new Promise((resolve) => setTimeout(resolve, 6000));"
        return PlotlyLibrary(source=pause + PlotlyLibrary().source)


figure = Late(go.Figure(go.Scatter(x=[0, 1, 2], y=[0, 1, 2])))
figure
"""
MEANWHILE = """\
figure.add_scatter(x=[0, 1, 2], y=[3, 3, 3])
with figure.batch_update():
    figure.data[0].y = [0, 4, 8]
    figure.layout.title.text = "changed"
"""

LONG_WORK = """\
import time
from workbench.progress import progress

with progress("counting <b>", 40) as advance:
    for _ in range(40):
        time.sleep(0.1)
        advance(1)
"This is the end."
"""

LOOP_OF_ONES_OWN = """\
import time
import torch
import workbench as wb

problem = wb.load_problem("digits-mlp")
optimizer = torch.optim.SGD(problem.model.parameters(), lr=0.1)
recorder = wb.Recorder(problem, optimizer, ["loss", "gradient_norm"], every=2)
display(wb.explore.live(recorder))
with recorder:
    for step in range(41):
        optimizer.zero_grad()
        for batch, share in problem.batches():
            outputs = problem.model(batch[0])
            (share * problem.loss(outputs, batch[1])).backward()
        optimizer.step()
        recorder.step()
        time.sleep(0.1)
"""

LENGTH = "(document.querySelector('.js-plotly-plot')?._fullData?.[0]?.x?.length ?? 0)"

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def write(path, *cells):
    notebook = new_notebook(cells=[new_code_cell(source) for source in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)


def test_a_slider_changes_the_data_of_a_figure(lab, page):
    write(lab.root / "slider.ipynb", CODE, "slider.value")
    open_notebook(page, lab, "slider.ipynb")
    run_all(page)
    before = figure_data(page)
    assert before == {"x": [0, 1, 2], "y": [0, 1, 2]}
    press(page.locator(".jp-OutputArea .widget-slider .noUi-handle").first, "ArrowRight", times=3)
    page.wait_for_function("() => document.querySelector('.widget-readout').textContent === '4'")
    wait_for_new_data(page, before)
    page.wait_for_function("() => document.querySelector('.js-plotly-plot')._fullData[0].y[2] === 8")


def test_a_figure_is_seen_as_it_is_when_plotly_comes_late(lab, page):
    write(lab.root / "late.ipynb", LATE_PLOTLY, MEANWHILE, "figure")
    open_notebook(page, lab, "late.ipynb")
    run_all(page)
    assert figure_data(page) == {"x": [0, 1, 2], "y": [0, 4, 8]}
    assert figure_data(page, trace=1) == {"x": [0, 1, 2], "y": [3, 3, 3]}
    assert page.evaluate("() => document.querySelector('.js-plotly-plot')._fullData.length") == 2
    page.wait_for_function("() => document.querySelector('.js-plotly-plot').innerText.includes('changed')")


def test_a_cell_that_raises_is_told_by_the_driver(lab, page):
    write(lab.root / "raises.ipynb", "1 / 0", "2")
    open_notebook(page, lab, "raises.ipynb")
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        run_all(page)


def test_a_bar_is_seen_while_work_goes_on_and_leaves_nothing(lab, page):
    write(lab.root / "bar.ipynb", LONG_WORK)
    open_notebook(page, lab, "bar.ipynb")
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    bar = page.locator(".jp-OutputArea-output").get_by_text("counting <b>:")
    expect(bar).to_be_visible()
    page.wait_for_function(EVERY_CELL_HAS_RUN)
    expect(bar).to_have_count(0)
    page.evaluate("async () => await window.jupyterapp.shell.currentWidget.context.save()")
    open_notebook(page, lab, "bar.ipynb")
    outputs = page.locator(".jp-OutputArea-output")
    expect(outputs.last).to_have_text("'This is the end.'")
    assert "".join(outputs.all_inner_texts()).strip() == "'This is the end.'"


def test_a_figure_follows_a_training_loop_of_ones_own(lab, page):
    write(lab.root / "own-loop.ipynb", LOOP_OF_ONES_OWN)
    open_notebook(page, lab, "own-loop.ipynb")
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.wait_for_function(f"() => {LENGTH} > 0 && {LENGTH} < 21")  # while it trains
    page.wait_for_function(EVERY_CELL_HAS_RUN)
    page.wait_for_function(f"() => {LENGTH} === 21")
    names = page.evaluate(
        "() => document.querySelector('.js-plotly-plot')._fullData.map((line) => line.name)"
    )
    assert names == ["loss", "gradient_norm"]
