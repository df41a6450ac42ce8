"""The slider over batch sizes moves by mouse, with a kernel in JupyterLab and without one in a report."""

import os
from pathlib import Path

import pytest
import torch
from jupyterlab_driver import STEP_MILLISECONDS, Lab, open_notebook, put_small, run_all
from nbformat.v4 import new_code_cell, new_notebook, new_output
from playwright.sync_api import Browser, Locator, Page, expect
from torch import nn

import workbench as wb
from workbench.explore.batch_density_view import BATCH_DENSITY
from workbench.explore.still import Still
from workbench.parameters import read_notebook
from workbench.report.page import write_page

pytestmark = pytest.mark.browser

CURVES = "(figure) => JSON.stringify(figure._fullData.map(({ y }) => Array.from(y)))"


def choose_last_batch(figure: Locator) -> None:
    """Click on the slider's rail above its last label."""
    expect(figure.locator(".slider-group")).to_have_count(1, timeout=STEP_MILLISECONDS)
    figure.scroll_into_view_if_needed()
    before = figure.evaluate(CURVES)
    box = figure.locator(".slider-grip-rect").bounding_box()
    rail = figure.locator(".slider-rail-rect").bounding_box()
    assert box is not None
    assert rail is not None
    figure.page.mouse.click(rail["x"] + rail["width"] - 2, box["y"] + box["height"] / 2)
    expect(figure.locator(".annotation-text")).to_contain_text("one batch of 128", timeout=STEP_MILLISECONDS)
    assert figure.evaluate(CURVES) != before


def test_in_a_report_without_a_kernel(browser: Browser, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    data = (torch.randn(200, 4), torch.randint(0, 3, (200,)))
    problem = wb.Problem(model, nn.CrossEntropyLoss(), data)
    results = {"densities": wb.curvature.batch_densities(problem, [8, 128], probes=2, steps=10)}
    figure = BATCH_DENSITY.figure()
    BATCH_DENSITY.draw(figure, results)
    bundle = Still(figure, results)._repr_mimebundle_()
    cell = new_code_cell("x", outputs=[new_output("display_data", data=bundle)], execution_count=1)
    path = tmp_path / "report.html"
    write_page(
        new_notebook(cells=[cell]), path, title="T", parameters=[], status="ok", details={}, command="c"
    )
    page = browser.new_page(viewport={"width": 1000, "height": 900})
    page.goto(path.as_uri())
    choose_last_batch(page.locator(".js-plotly-plot"))
    page.close()


@pytest.mark.slow
def test_in_jupyterlab(page: Page, lab: Lab) -> None:
    notebook = read_notebook("batch_hessian")
    put_small(notebook, lab.root)
    open_notebook(page, lab, notebook.path.name)
    run_all(page)
    page.get_by_role("button", name=BATCH_DENSITY.title, exact=True).click()
    figure = page.locator(".wb-explorer .js-plotly-plot")
    choose_last_batch(figure)
    folder = os.environ.get("WORKBENCH_SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / "batch-density.png")
