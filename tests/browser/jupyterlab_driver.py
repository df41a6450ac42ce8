"""Start JupyterLab, open a notebook in a browser, run it, wait until it is done."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from playwright.sync_api import Locator, Page
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from workbench.parameters import Notebook

START_SECONDS = 120
STEP_MILLISECONDS = 120_000
LOADS = 4
KERNEL = "python3"

# JupyterLab's own indicator says "idle" before there is a kernel, and "Run All" would then ask for one.
KERNEL_IS_IDLE = """() => {
  const kernel = window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel;
  return kernel && kernel.connectionStatus === "connected" && kernel.status === "idle";
}"""
ERRORS = """() => window.jupyterapp.shell.currentWidget.content.widgets
  .filter((cell) => cell.model.type === "code")
  .flatMap((cell) => cell.model.outputs.toJSON())
  .filter((output) => output.output_type === "error")
  .map((output) => `${output.ename}: ${output.evalue}`)"""
EVERY_CELL_HAS_RUN = """() => window.jupyterapp.shell.currentWidget.content.widgets
  .map((cell) => cell.model)
  .filter((model) => model.type === "code" && model.sharedModel.getSource().trim())
  .every((model) => Number.isInteger(model.executionCount))"""


@dataclass(frozen=True)
class Lab:
    """A running server: ``root`` is the folder it shows."""

    root: Path
    port: int
    token: str

    def url(self, notebook: str) -> str:
        """Address of a notebook, in a workspace without open tabs."""
        return f"http://127.0.0.1:{self.port}/lab/tree/{notebook}?reset&token={self.token}"


@contextmanager
def running_lab(folder: Path) -> Iterator[Lab]:
    """Serve ``folder/root``; configuration, workspaces and the log stand beside it."""
    lab = Lab(root=folder / "root", port=_free_port(), token="for-this-test-only")
    lab.root.mkdir()
    with (folder / "lab.log").open("w") as log:
        process = subprocess.Popen(
            _command(lab), cwd=folder, env=_environment(folder), stdout=log, stderr=subprocess.STDOUT
        )
    try:
        _wait_until_up(lab, process, folder / "lab.log")
        yield lab
    finally:
        _kill_with_kernels(process)


def put_small(notebook: Notebook, folder: Path) -> Path:
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


def open_notebook(page: Page, lab: Lab, name: str) -> None:
    """Open a notebook of ``lab.root`` and wait for its kernel; later steps on this page are patient too."""
    page.set_default_timeout(STEP_MILLISECONDS)
    page.goto(lab.url(name))
    page.wait_for_selector(".jp-NotebookPanel .jp-Notebook")
    page.wait_for_function(KERNEL_IS_IDLE)


def open_again(page: Page, lab: Lab, name: str, widget: str) -> None:
    """Open a notebook whose kernel lives, until ``widget`` (a selector) is there.

    JupyterLab waits for the states of the widgets for four seconds, its own start included. On a machine too
    busy for that it asks for each by itself, may miss some, and says so in place of the widget; a user then
    loads the page again, as is done here, at most three times.
    """
    for load in range(LOADS):
        open_notebook(page, lab, name)
        patience = STEP_MILLISECONDS if load == LOADS - 1 else STEP_MILLISECONDS / 4
        try:
            page.locator(widget).wait_for(state="attached", timeout=patience)
        except PlaywrightTimeout:
            continue
        return
    raise AssertionError(f"{widget} is not in {name} after {LOADS} loads")


def run_all(page: Page) -> None:
    """Run every cell and wait until each code cell has its number.

    Raises
    ------
    AssertionError
        If a cell raised.
    """
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    ended = f"() => ({EVERY_CELL_HAS_RUN})() || ({ERRORS})().length > 0"
    page.wait_for_function(ended)
    errors = page.evaluate(ERRORS)
    assert not errors, errors


def press(handle: Locator, key: str, times: int) -> None:
    """Move a slider by its handle with the keyboard, which is steadier than dragging."""
    handle.scroll_into_view_if_needed()
    handle.focus()
    for _ in range(times):
        handle.press(key)


def figure_data(page: Page, trace: int = 0, figure: int = 0) -> dict[str, list[float]]:
    """``x`` and ``y`` of a trace, as the plotly figure in the page has them."""
    page.wait_for_function(f"() => document.querySelectorAll('.js-plotly-plot')[{figure}]?._fullData?.length")
    return page.evaluate(
        """([figure, trace]) => {
          const { x, y } = document.querySelectorAll(".js-plotly-plot")[figure]._fullData[trace];
          return { x: Array.from(x), y: Array.from(y) };
        }""",
        [figure, trace],
    )


def wait_for_new_data(page: Page, before: dict[str, list[float]], trace: int = 0, figure: int = 0) -> None:
    """Wait until the trace's ``y`` is no longer what it was."""
    page.wait_for_function(
        """([figure, trace, before]) => {
          const data = document.querySelectorAll(".js-plotly-plot")[figure]?._fullData?.[trace];
          return data && JSON.stringify(Array.from(data.y)) !== JSON.stringify(before);
        }""",
        arg=[figure, trace, before["y"]],
    )


def _command(lab: Lab) -> list[str]:
    return [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1",
        f"--port={lab.port}",
        "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={lab.token}",
        f"--ServerApp.root_dir={lab.root}",
        "--LabApp.expose_app_in_browser=True",
        "--LabApp.news_url=",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]  # fmt: skip


def _environment(folder: Path) -> dict[str, str]:
    """Folders of its own, and this interpreter's kernel under the name that notebooks ask for."""
    folders = {
        "JUPYTER_CONFIG_DIR": folder / "config",
        "JUPYTER_DATA_DIR": folder / "data",
        "JUPYTER_RUNTIME_DIR": folder / "runtime",
        "JUPYTERLAB_SETTINGS_DIR": folder / "settings",
        "JUPYTERLAB_WORKSPACES_DIR": folder / "workspaces",
        "IPYTHONDIR": folder / "ipython",
    }
    spec = folder / "data" / "kernels" / KERNEL
    spec.mkdir(parents=True)
    kernel = {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "Python 3",
        "language": "python",
    }
    (spec / "kernel.json").write_text(json.dumps(kernel))
    return {**os.environ, **{name: str(path) for name, path in folders.items()}}


def _wait_until_up(lab: Lab, process: subprocess.Popen[bytes], log: Path) -> None:
    status = f"http://127.0.0.1:{lab.port}/api/status?token={lab.token}"
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, f"JupyterLab ended at once:\n{log.read_text()[-4000:]}"
        try:
            with urllib.request.urlopen(status, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    raise AssertionError(f"JupyterLab did not answer in {START_SECONDS} s:\n{log.read_text()[-4000:]}")


def _kill_with_kernels(process: subprocess.Popen[bytes]) -> None:
    """Kernels are in process groups of their own: collect them first, then end all."""
    try:
        family = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for child in family:
        if child.is_running():
            child.kill()
    psutil.wait_procs(family, timeout=10)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
