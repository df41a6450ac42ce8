"""Every notebook that ships, in a real JupyterLab: run all, move a control, press Run, see other data.

Notebooks are found by themselves. Set ``WORKBENCH_SCREENSHOTS`` to a folder to keep a picture of each.
"""

import json
import os
from pathlib import Path

import pytest
from jupyterlab_driver import STEP_MILLISECONDS, open_notebook, press, run_all
from playwright.sync_api import expect

from workbench.parameters import list_notebooks

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FIGURE_DATA = """(explorer) => {
  const figure = explorer.querySelector(".js-plotly-plot");
  return JSON.stringify(figure._fullData.map(({ x, y, z }) => [x, y, z]));
}"""


def put_small(notebook, folder):
    """Copy a notebook with its small preset in a cell of its own, as papermill would write it."""
    content = json.loads(notebook.path.read_text())
    cells = content["cells"]
    (index,) = [i for i, cell in enumerate(cells) if "parameters" in cell["metadata"].get("tags", [])]
    code = "\n".join(f"{name} = {value!r}" for name, value in notebook.presets["small"].items())
    cell = {"cell_type": "code", "id": "small", "metadata": {}, "outputs": [], "execution_count": None}
    cells.insert(index + 1, {**cell, "source": code or "pass"})
    path = folder / notebook.path.name
    path.write_text(json.dumps(content))
    return path


def open_first_analysis(page):
    """On the start page: load the problem that stands there and go to an analysis."""
    start = page.locator(".wb-start")
    start.scroll_into_view_if_needed()
    start.get_by_role("button", name="Load", exact=True).click()
    expect(start.locator(".wb-status").first).to_contain_text("Loaded in", timeout=STEP_MILLISECONDS)
    start.get_by_role("button", name="curvature", exact=True).click()


def keep_picture(page, name):
    folder = os.environ.get("WORKBENCH_SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png")


@pytest.mark.parametrize("notebook", list_notebooks(), ids=lambda notebook: notebook.name)
def test_notebook(lab, page, notebook):
    path = put_small(notebook, lab.root)
    open_notebook(page, lab, path.name)
    run_all(page)
    if notebook.name == "start":
        open_first_analysis(page)
    explorer = page.locator(".wb-explorer")
    expect(explorer).to_have_count(1, timeout=STEP_MILLISECONDS)
    explorer.scroll_into_view_if_needed()
    explorer.locator(".js-plotly-plot").wait_for(timeout=STEP_MILLISECONDS)
    before = explorer.evaluate(FIGURE_DATA)
    press(explorer.locator(".widget-slider .noUi-handle").first, "ArrowRight", times=2)
    explorer.get_by_role("button", name="Run", exact=True).click()
    expect(explorer.locator(".wb-status")).to_contain_text("Done in", timeout=STEP_MILLISECONDS)
    assert explorer.evaluate(FIGURE_DATA) != before
    expect(explorer.get_by_text("What am I looking at?")).to_be_visible()
    keep_picture(page, notebook.name)


def test_after_the_kernel_is_gone_a_picture_stands_in_place_of_the_explorer(lab, page):
    (notebook,) = [notebook for notebook in list_notebooks() if notebook.name == "curvature"]
    path = put_small(notebook, lab.root)
    path = path.rename(path.with_name("restarted.ipynb"))
    open_notebook(page, lab, path.name)
    run_all(page)
    page.locator(".wb-explorer").scroll_into_view_if_needed()
    expect(page.locator(".wb-static")).to_be_hidden()
    page.evaluate(
        """async () => {
          const panel = window.jupyterapp.shell.currentWidget;
          await panel.context.save();
          await panel.sessionContext.session.kernel.restart();
        }"""
    )
    open_notebook(page, lab, path.name)
    twin = page.locator(".wb-static")
    twin.scroll_into_view_if_needed()
    expect(twin.locator("img")).to_be_visible()
    expect(page.get_by_text("Error displaying widget")).to_have_count(0)
    keep_picture(page, "after-restart")
