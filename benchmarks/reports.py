"""What a run costs beyond its notebook's own time: ours, alone and in a sweep, beside plain papermill.

The unit is papermill: every figure is the least wall time over interleaved repeats, less the time that the
notebook's own cells slept, divided by papermill's. A run of ours also checks the parameters, draws a
self-contained page and writes down versions and timings; a sweep starts Dask and draws a page once.

    python benchmarks/reports.py [--repeats 3] [--runs 4] [--work 1.0]
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

WORKBENCH = [sys.executable, "-c", "from workbench.cli import main; main()"]


def write_notebook(folder: Path, work: float) -> Path:
    """A notebook that does nothing for ``work`` seconds and draws no figure."""
    parameters = new_code_cell("seed: int = 0  # of nothing", metadata={"tags": ["parameters"]})
    cells = [new_markdown_cell("# Nothing"), parameters, new_code_cell(f"import time\ntime.sleep({work})")]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    path = folder / "01_nothing.ipynb"
    nbformat.write(new_notebook(cells=cells, metadata=metadata), path)
    return path


def run(*command: object) -> None:
    """Run a command; what it prints is shown only if it fails."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{done.stdout}{done.stderr}")


def seconds_of(work: Callable[[], None]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--runs", type=int, default=4, help="runs of the sweep, one after another")
    parser.add_argument("--work", type=float, default=1.0, help="seconds that the notebook sleeps")
    options = parser.parse_args()
    best: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        notebook = write_notebook(folder, options.work)
        for repeat in range(options.repeats):
            place = folder / str(repeat)
            place.mkdir()
            seeds = ",".join(map(str, range(options.runs)))
            works = {
                "papermill": (
                    1,
                    [sys.executable, "-m", "papermill", notebook, place / "out.ipynb", "--no-progress-bar"],
                ),
                "workbench report": (1, [*WORKBENCH, "report", notebook, "-o", place / "report"]),
                f"workbench sweep, each of {options.runs}": (
                    options.runs,
                    [
                        *WORKBENCH,
                        "sweep",
                        notebook,
                        "-g",
                        "seed",
                        seeds,
                        "--workers",
                        1,
                        "-o",
                        place / "sweep",
                    ],
                ),
            }
            for name, (count, command) in works.items():
                spent = seconds_of(lambda command=command: run(*command)) / count - options.work
                best[name] = min(spent, best.get(name, float("inf")))
    print(f"{'beyond the notebook itself':<30} {'seconds':>8} {'ratio':>7}")
    for name, spent in best.items():
        print(f"{name:<30} {spent:8.2f} {spent / best['papermill']:7.2f}")


if __name__ == "__main__":
    main()
