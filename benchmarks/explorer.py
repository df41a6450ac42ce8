"""How fast the explorer of curvature answers in a real JupyterLab, at rest and beside a computation.

A control that needs no computation is moved by an event in the page; what is measured ends when the page has
drawn the answer of the kernel: the figure with its other axis, the code with its other number. Cancel is
measured from the click to the words "Cancelled". It needs Chromium; a machine that does other work measures
that work too, so its load is printed.

    python benchmarks/explorer.py [--repeats 20] [--pause 0.3]
"""

import argparse
import os
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Locator, Page, expect, sync_playwright

from workbench.parameters import read_notebook

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "browser"))

from chromium import launch
from jupyterlab_driver import (
    STEP_MILLISECONDS,
    Lab,
    open_notebook,
    press,
    put_small,
    run_all,
    running_lab,
)

# Each returns the milliseconds from its event until the page shows the answer.
_SWITCH = """(explorer) => new Promise((resolve) => {
  const menus = [...explorer.querySelectorAll("select")];
  const menu = menus.find((each) => each.labels[0]?.textContent === "density");
  const plot = explorer.querySelector(".js-plotly-plot");
  const before = plot._fullLayout.yaxis2.type;
  const drawn = () => {
    if (plot._fullLayout.yaxis2.type === before) return;
    plot.removeListener("plotly_afterplot", drawn);
    resolve(performance.now() - started);
  };
  plot.on("plotly_afterplot", drawn);
  const started = performance.now();
  menu.selectedIndex = 1 - menu.selectedIndex;
  menu.dispatchEvent(new Event("change", { bubbles: true }));
})"""
_SLIDE = """(explorer) => new Promise((resolve) => {
  const code = explorer.querySelector(".wb-fold pre");
  const observer = new MutationObserver(() => {
    observer.disconnect();
    resolve(performance.now() - started);
  });
  observer.observe(code, { childList: true, characterData: true, subtree: true });
  const started = performance.now();
  const handle = explorer.querySelector(".noUi-handle");
  handle.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
})"""
_WORKS = {"menu to other axis of the figure": _SWITCH, "slider to other number in the code": _SLIDE}
_TARGETS = {"idle": 100, "busy": 300, "cancel": 1000}  # milliseconds


def measure(explorer: Locator, repeats: int, pause: float) -> dict[str, list[float]]:
    """Milliseconds of each control, taken in turn, after one round that does not count."""
    times: dict[str, list[float]] = {name: [] for name in _WORKS}
    for repeat in range(repeats + 1):
        for name, work in _WORKS.items():
            spent = explorer.evaluate(work)
            if repeat:
                times[name].append(spent)
            time.sleep(pause)
    return times


def start_long_run(explorer: Locator) -> None:
    """Ask for as much as the sliders allow, and for it once more if the explorer wants to be sure."""
    status = explorer.locator(".wb-status")
    run = explorer.get_by_role("button", name="Run", exact=True)
    for name in ("probes", "steps"):
        press(explorer.get_by_role("slider", name=name), "End", times=1)
    run.click()
    expect(status).to_contain_text(re.compile("press Run again|spectral density"), timeout=STEP_MILLISECONDS)
    if "press Run again" in status.inner_text():
        run.click()
    expect(status).to_contain_text("spectral density", timeout=STEP_MILLISECONDS)


def cancel(explorer: Locator) -> float:
    """Milliseconds from the click until the explorer says that the work has stopped."""
    started = time.perf_counter()
    explorer.get_by_role("button", name="Cancel").click()
    expect(explorer.locator(".wb-status")).to_contain_text("Cancelled", timeout=STEP_MILLISECONDS)
    return 1e3 * (time.perf_counter() - started)


def show(name: str, state: str, times: list[float]) -> None:
    """Print one line of the table."""
    median, worst, target = statistics.median(times), max(times), _TARGETS[state]
    verdict = "" if worst < target else "worst missed" if median < target else "MISSED"
    print(f"{name:36}{state:8}{median:8.0f}{worst:8.0f}{target:8}  {verdict}")


def opened(page: Page, lab: Lab) -> Locator:
    """The explorer of the notebook curvature, which shows its results."""
    open_notebook(page, lab, put_small(read_notebook("curvature"), lab.root).name)
    run_all(page)
    explorer = page.locator(".wb-explorer")
    explorer.scroll_into_view_if_needed()
    explorer.locator(".js-plotly-plot").wait_for()
    return explorer


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--cancels", type=int, default=10)
    parser.add_argument("--pause", type=float, default=0.3, help="seconds between two events")
    options = parser.parse_args()
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as scratch:
        try:
            browser = launch(playwright)
        except FileNotFoundError as error:
            print(f"not measured: {error}")
            return
        with running_lab(Path(scratch)) as lab:
            explorer = opened(browser.new_page(viewport={"width": 1400, "height": 1500}), lab)
            print(f"load of the machine before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
            print(f"{'milliseconds':36}{'state':8}{'median':>8}{'worst':>8}{'target':>8}")
            for state in ("idle", "busy"):
                if state == "busy":
                    start_long_run(explorer)
                for name, times in measure(explorer, options.repeats, options.pause).items():
                    show(name, state, times)
            stops = [cancel(explorer)]
            while len(stops) < options.cancels:
                start_long_run(explorer)
                stops.append(cancel(explorer))
            show("Cancel to Cancelled", "cancel", stops)
        browser.close()


if __name__ == "__main__":
    main()
