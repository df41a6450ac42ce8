"""The curvature notebook in a real JupyterLab: run all, move a control, press Run, see other data."""

import json

import pytest
from jupyterlab_driver import STEP_MILLISECONDS, figure_data, open_notebook, press, run_all, wait_for_new_data

from workbench import paths

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def put_small_notebook(path):
    """Copy the notebook with its small preset written into a cell of its own, as papermill does."""
    (source,) = paths.notebooks().glob("*_curvature.ipynb")
    notebook = json.loads(source.read_text())
    preset = notebook["metadata"]["workbench"]["presets"]["small"]
    (index,) = [
        i for i, cell in enumerate(notebook["cells"]) if "parameters" in cell["metadata"].get("tags", [])
    ]
    code = [f"{name} = {value!r}\n" for name, value in preset.items()]
    injected = {"cell_type": "code", "id": "small", "metadata": {}, "outputs": [], "execution_count": None}
    notebook["cells"].insert(index + 1, {**injected, "source": code})
    path.write_text(json.dumps(notebook))
    return preset


def test_the_explorer_recomputes_what_its_controls_ask_for(lab, page):
    preset = put_small_notebook(lab.root / "curvature.ipynb")
    open_notebook(page, lab, "curvature.ipynb")
    run_all(page)
    page.locator(".wb-explorer").scroll_into_view_if_needed()
    before = figure_data(page)
    assert len(before["y"]) == preset["k"]
    handle = page.locator(".wb-explorer .widget-slider", has_text="k").locator(".noUi-handle").first
    press(handle, "ArrowRight", times=2)
    page.locator(".wb-explorer").get_by_role("button", name="Run", exact=True).click()
    wait_for_new_data(page, before)
    after = figure_data(page)
    assert len(after["y"]) == preset["k"] + 2
    assert after["y"][: preset["k"]] == pytest.approx(before["y"], rel=1e-3)
    page.wait_for_function(
        "() => document.querySelector('.wb-status').textContent.startsWith('Done')", timeout=STEP_MILLISECONDS
    )
    page.locator(".wb-explorer").get_by_role("button", name="linear").click()
    page.wait_for_function(
        "() => document.querySelector('.js-plotly-plot')._fullLayout.yaxis2.type === 'linear'",
        timeout=STEP_MILLISECONDS,
    )
    page.screenshot(path=lab.root.parent / "explorer.png")
