"""Every notebook that ships, in a real JupyterLab: its explorer by mouse, by keys, and without its kernel.

Notebooks are found by themselves. Set ``WORKBENCH_SCREENSHOTS`` to a folder to keep a picture of each.
"""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from accessibility import focusable, tabbed
from jupyterlab_driver import (
    STEP_MILLISECONDS,
    Lab,
    open_again,
    open_notebook,
    press,
    put_small,
    run_all,
)
from playwright.sync_api import Locator, Page, expect

from workbench.parameters import Notebook, list_notebooks

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WIDGET = "application/vnd.jupyter.widget-view+json"
DEAD_WIDGET = re.compile("Error displaying widget|Loading widget")
CELLS = "() => window.jupyterapp.shell.currentWidget.content.widgets.length"
FIGURE_DATA = """(explorer) => {
  const figure = explorer.querySelector(".js-plotly-plot");
  return JSON.stringify(figure._fullData.map(({ x, y, z }) => [x, y, z]));
}"""

RUN_HAS_ENDED = re.compile("Done in|Shown from memory|press Run again")
FIGURE_LOOK = """(explorer) => {
  const { layout, _fullData } = explorer.querySelector(".js-plotly-plot");
  return JSON.stringify([_fullData.map(({ x, y, z }) => [x, y, z]), layout.title?.text, layout.shapes]);
}"""


def open_first_analysis(page):
    """On the start page: load the problem that stands there and go to an analysis."""
    start = page.locator(".wb-start")
    start.scroll_into_view_if_needed()
    start.get_by_role("button", name="Load", exact=True).click()
    expect(start.locator(".wb-status").first).to_contain_text("Loaded in", timeout=STEP_MILLISECONDS)
    start.get_by_role("button", name="curvature", exact=True).click()


def move(asked):
    """Change the first slider among the controls that are computed from, or the first menu without one."""
    slider = asked.get_by_role("slider").first
    if not slider.count():
        press(asked.locator("select").first, "ArrowDown", times=1)
        return
    at_the_end = slider.get_attribute("aria-valuenow") == slider.get_attribute("aria-valuemax")
    press(slider, "ArrowLeft" if at_the_end else "ArrowRight", times=2)


def keep_picture(page, name):
    folder = os.environ.get("WORKBENCH_SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png")


@dataclass
class Explored:
    """A notebook that has run to its explorer; ``box`` is the selector of all its controls."""

    page: Page
    path: Path
    box: str

    @property
    def controls(self) -> Locator:
        return self.page.locator(self.box)

    @property
    def explorer(self) -> Locator:
        return self.page.locator(".wb-explorer")

    @property
    def labels(self) -> set[str]:
        texts = self.controls.locator(".widget-label").all_inner_texts()
        return {text for text in texts if text.strip("\u200b")}  # a check box has its words elsewhere

    def scroll_to_figure(self) -> None:
        self.explorer.scroll_into_view_if_needed()
        self.explorer.locator(".js-plotly-plot .plot-container").wait_for(timeout=STEP_MILLISECONDS)

    def run(self) -> None:
        """Press Run and wait for the end of that run; the status of an earlier one may say the same words."""
        status = self.explorer.locator(".wb-status")
        for _ in range(2):
            status.evaluate("(line) => line.classList.add('of-before')")  # a new line comes without it
            self.explorer.get_by_role("button", name="Run", exact=True).click()
            ended = self.explorer.locator(".wb-status:not(.of-before)").filter(has_text=RUN_HAS_ENDED)
            ended.wait_for(timeout=STEP_MILLISECONDS)
            if "press Run again" not in ended.inner_text():  # a busy machine expects long times
                return
        raise AssertionError(status.inner_text())

    def save(self) -> None:
        self.page.evaluate("async () => await window.jupyterapp.shell.currentWidget.context.save()")


def explore(page: Page, lab: Lab, notebook: Notebook) -> Explored:
    path = put_small(notebook, lab.root)
    open_notebook(page, lab, path.name)
    run_all(page)
    if notebook.name == "start":
        open_first_analysis(page)
    explored = Explored(page, path, ".wb-start" if notebook.name == "start" else ".wb-explorer")
    expect(explored.explorer).to_have_count(1, timeout=STEP_MILLISECONDS)
    explored.scroll_to_figure()
    return explored


@pytest.fixture(scope="module", params=list_notebooks(), ids=lambda notebook: notebook.name)
def explored(request, browser, lab):
    """Run each notebook once for all tests that leave its kernel alive."""
    context = browser.new_context(viewport={"width": 1400, "height": 1500})
    yield explore(context.new_page(), lab, request.param)
    context.close()


def test_a_control_is_moved_and_the_figure_changes(explored):
    explorer = explored.explorer
    before = explorer.evaluate(FIGURE_DATA)
    move(explorer.locator(".wb-asked"))
    explored.run()
    expect(explorer.locator(".wb-status")).to_contain_text("Done in")
    assert explorer.evaluate(FIGURE_DATA) != before
    keep_picture(explored.page, explored.path.stem)


def test_every_tab_opens_and_runs_and_its_slider_moves(explored):
    tabs = explored.page.locator(".wb-tabs button")
    titles = tabs.all_inner_texts()
    assert titles
    for number, title in [*enumerate(titles), (0, titles[0])]:  # back to the first
        tabs.nth(number).click()
        expect(explored.explorer.locator("b").first).to_contain_text(f"{title}:")
        explored.run()
        explored.scroll_to_figure()
        assert any(y for _, y, _ in json.loads(explored.explorer.evaluate(FIGURE_DATA))), title
        rail = explored.explorer.locator(".slider-rail-touch-rect")
        if rail.count():
            before = explored.explorer.evaluate(FIGURE_LOOK)
            place, grip = rail.bounding_box(), explored.explorer.locator(".slider-grip-rect").bounding_box()
            at_left = grip["x"] - place["x"] < place["width"] / 2
            free_end = place["width"] - 5 if at_left else 5  # the grip takes clicks for itself
            rail.click(position={"x": free_end, "y": 5})
            explored.page.wait_for_function(
                f"(before) => ({FIGURE_LOOK})(document.querySelector('.wb-explorer')) !== before", arg=before
            )
        keep_picture(explored.page, f"{explored.path.stem}-{title.lower().replace(' ', '-')}")


def test_a_page_that_is_loaded_again_shows_the_same(explored, lab):
    before = explored.explorer.evaluate(FIGURE_DATA)
    explored.save()
    open_again(explored.page, lab, explored.path.name, ".wb-explorer")
    explored.scroll_to_figure()
    assert explored.explorer.evaluate(FIGURE_DATA) == before
    expect(explored.page.locator(".wb-static")).to_be_hidden()
    expect(explored.page.get_by_text(DEAD_WIDGET)).to_have_count(0)


def test_every_control_has_a_name_and_is_reached_by_keys(explored):
    unnamed = explored.controls.locator(".noUi-handle:not([aria-label])")
    expect(unnamed).to_have_count(0)
    found = focusable(explored.page, explored.box)
    assert [role for role, name in found if not name] == []
    assert explored.labels <= {name for _, name in found}
    visited = tabbed(explored.page, explored.controls)
    assert explored.labels | {"Run", "What am I looking at?", "As code"} <= set(visited)


def test_a_key_is_for_the_control_and_not_for_jupyterlab(explored):
    cells = explored.page.evaluate(CELLS)
    press(explored.controls.get_by_role("slider").first, "d", times=2)  # deletes a cell elsewhere
    menu = explored.controls.locator("select").first
    chosen = menu.input_value()
    press(menu, "ArrowDown", times=1)
    assert menu.input_value() != chosen
    press(explored.controls.locator("summary").first, "Enter", times=1)
    expect(explored.controls.locator("details").first).to_have_attribute("open", "")
    assert explored.page.evaluate(CELLS) == cells


def test_a_saved_notebook_has_no_widget_without_a_still(explored):
    explored.save()
    cells = json.loads(explored.path.read_text())["cells"]
    shown = [[output.get("data", {}) for output in cell.get("outputs", [])] for cell in cells]
    live = [outputs for outputs in shown if any(WIDGET in data for data in outputs)]
    assert len(live) == 1
    assert "wb-static" in "".join(live[0][-1]["text/html"])


@pytest.mark.parametrize("notebook", list_notebooks(), ids=lambda notebook: notebook.name)
def test_when_the_kernel_is_gone_a_still_stands_in_place_of_the_explorer(lab, page, notebook):
    explored = explore(page, lab, notebook)
    still = page.locator(".wb-static")
    expect(still).to_be_hidden()
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    expect(still).to_be_visible()
    expect(explored.controls).to_be_hidden()
    explored.save()
    open_notebook(page, lab, explored.path.name)
    still.scroll_into_view_if_needed()
    expect(still).to_be_visible()
    for image in still.locator("img").all():
        assert image.evaluate("(image) => image.naturalWidth") > 0
    expect(page.get_by_text(DEAD_WIDGET).filter(visible=True)).to_have_count(0)
    keep_picture(page, f"{explored.path.stem}-after-restart")
