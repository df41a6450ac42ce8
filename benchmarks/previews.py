"""A small run as a preview and in cold papermill, one after the other, so that both meet the same load.

The unit is papermill. A preview also checks the parameters, draws a page and writes down versions and
timings; what the process that previews are forked from needs to start is told apart, and is in the last line,
which is a whole ``workbench sweep --preview``.

    python benchmarks/previews.py [--runs 5] [--only probe]
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from reports import WORKBENCH, run, seconds_of
from workbench.parameters import Notebook, read_notebook
from workbench.report.folder import locked, read_json
from workbench.report.forking import Zygote, zygote
from workbench.report.launch import run_locked
from workbench.report.prepare import prepare

TRAIN = """
import matplotlib.pyplot as plt
import plotly.graph_objects as go
import torch
from ipywidgets import HTML, IntSlider, VBox

torch.manual_seed(seed)
inputs, weights = torch.randn(256, 20), torch.randn(20, 1)
model = torch.nn.Sequential(torch.nn.Linear(20, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
losses = []
for _ in range(60):
    optimizer.zero_grad()
    loss = torch.nn.functional.mse_loss(model(inputs), inputs @ weights)
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
"""
DRAW = """
figure, axis = plt.subplots()
axis.semilogy(losses)
plt.show()
"""
EXPLORE = """
live = go.FigureWidget(go.Scatter(y=losses))
VBox([IntSlider(description="step"), HTML("<b>Loss</b>"), live])
"""


def write_probe(folder: Path) -> Path:
    """A small notebook with a training loop, a matplotlib figure and a live plotly figure."""
    parameters = new_code_cell("seed: int = 0  # of the weights", metadata={"tags": ["parameters"]})
    cells = [new_markdown_cell("# A probe"), parameters, *map(new_code_cell, (TRAIN, DRAW, EXPLORE))]
    metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "workbench": {"presets": {"small": {}}},
    }
    path = folder / "01_probe.ipynb"
    nbformat.write(new_notebook(cells=cells, metadata=metadata), path)
    return path


def cold(notebook: Notebook, folder: Path) -> None:
    """One run of the small preset in plain papermill."""
    values = [word for name, value in notebook.presets["small"].items() for word in ("-p", name, value)]
    run(
        sys.executable,
        "-m",
        "papermill",
        notebook.path,
        folder.with_suffix(".ipynb"),
        *values,
        "--no-progress-bar",
    )


def warm(notebook: Notebook, folder: Path, source: Zygote) -> None:
    """One preview of the small preset."""
    prepare(notebook, {}, preset="small", folder=folder)
    with locked(folder) as lock:
        run_locked(folder, lock, [], zygote=source)
    if (status := read_json(folder / "run.json")["status"]) != "ok":
        raise SystemExit(f"{notebook.name}: {status}, see {folder}")


def show(name: str, papermill: list[float], preview: list[float]) -> None:
    """Print a line of the table: medians, and the least and the greatest ratio of two runs in turn."""
    ratios = sorted(a / b for a, b in zip(papermill, preview, strict=True))
    typical = statistics.median(papermill), statistics.median(preview)
    print(f"{name:<34} {typical[0]:9.2f} {typical[1]:9.2f} {typical[0] / typical[1]:7.1f}", end="")
    print(f"   {ratios[0]:.1f} … {ratios[-1]:.1f}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", help="one notebook: probe, start or curvature")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        probe = read_notebook(write_probe(place))
        notebooks = [probe, *map(read_notebook, ("start", "curvature"))]
        started = time.perf_counter()
        with zygote() as source:
            print(f"ready to fork after {time.perf_counter() - started:.1f} s\n")
            print(f"{'median seconds of a run':<34} {'papermill':>9} {'preview':>9} {'ratio':>7}   of pairs")
            for notebook in notebooks:
                if options.only in (None, notebook.name):
                    compare(notebook, place / notebook.name, source, options.runs)
        grid = ",".join(map(str, range(4 * options.runs)))
        sweep = [*WORKBENCH, "sweep", probe.path, "-g", "seed", grid, "--workers", 1, "--preview"]
        before = seconds_of(lambda: cold(probe, place / "before"))
        whole = seconds_of(lambda: run(*sweep, "-o", place / "sweep")) / (4 * options.runs)
        after = seconds_of(lambda: cold(probe, place / "after"))
        show(f"probe, a whole sweep of {4 * options.runs}", [before, after], [whole, whole])


def compare(notebook: Notebook, place: Path, source: Zygote, runs: int) -> None:
    """Run a notebook in turn in both ways."""
    place.mkdir()
    papermill: list[float] = []
    preview: list[float] = []
    works: list[tuple[list[float], Callable[[Path], None]]] = [
        (papermill, lambda folder: cold(notebook, folder)),
        (preview, lambda folder: warm(notebook, folder, source)),
    ]
    for _ in range(runs):
        for seconds, work in works:
            folder = place / f"{len(papermill)}-{len(preview)}"
            seconds.append(seconds_of(lambda work=work, folder=folder: work(folder)))
    show(notebook.name, papermill, preview)


if __name__ == "__main__":
    main()
