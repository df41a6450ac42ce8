"""Runs that fail by themselves: one line, an exit code for each cause, and what ran is kept."""

import errno
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from runs import outputs, read_run
from typer.testing import CliRunner

from workbench.cli import app
from workbench.parameters import read_notebook
from workbench.report import launch as launch_module
from workbench.report.launch import launch
from workbench.report.prepare import prepare
from workbench.report.processes import run_processes

FIRST = "print('this ran')"
FACTORY = """
def make_problem():
    raise FileNotFoundError("no data\\nat all")
"""


@pytest.mark.parametrize(
    ("cell", "code", "status", "message"),
    [
        (
            "import broken; broken.make_problem()",
            3,
            "failed",
            "cell [3] raised FileNotFoundError: no data at all",
        ),
        ("import sys; sys.exit(0)", 3, "failed", "cell [3] raised SystemExit: 0"),
        ("import os; os._exit(0)", 4, "kernel died", "the kernel died in cell [3] (out of memory?)"),
        (
            "import os; os.kill(os.getpid(), 9)",
            4,
            "kernel died",
            "the kernel died in cell [3] (out of memory?)",
        ),
        (
            "print('began', flush=True)\nwhile True: pass",
            5,
            "time limit",
            "cell [3] took longer than its limit of 2 s",
        ),
    ],
)
def test_one_line_and_a_code_for_each_cause(
    make_notebook: Callable[..., Path],
    workplace: Path,
    tmp_path: Path,
    cell: str,
    code: int,
    status: str,
    message: str,
) -> None:
    (workplace / "broken.py").write_text(FACTORY)
    path = make_notebook(FIRST, cell, "print('this must not run')", parameters="k: int = 1")
    folder = tmp_path / "run"
    result = CliRunner().invoke(app, ["report", str(path), "-o", str(folder), "--cell-timeout", "2"])
    assert result.exit_code == code, result.output
    assert result.stderr == f"error: {message} ({folder}/notebook.ipynb)\n"
    assert result.stdout.splitlines()[-1].startswith("  [3/4] ")
    assert result.stdout.splitlines()[-1].endswith(f" {status}")
    run = read_run(folder)
    assert (run["status"], run["exit_code"], run["error"]) == (status, code, message)
    assert [row["completed"] for row in run["cells"]] == [True, True, False]
    shown = outputs(folder)
    assert "this ran" in shown
    assert "this must not run" not in shown
    if code == 3:
        assert "Traceback" in shown or "SystemExit" in shown
    else:
        assert message in shown
    if code == 5:
        assert "began" in shown
    page = (folder / "report.html").read_text()
    assert "this ran" in page
    assert run_processes(folder) == set()


def test_a_kernel_that_does_not_start(
    make_notebook: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ipykernel_launcher.py").write_text("raise SystemExit(1)")  # found first in its directory
    monkeypatch.chdir(tmp_path)
    run = launch(prepare(read_notebook(make_notebook(FIRST)), {}, folder=tmp_path / "run"))
    assert (run["status"], run["exit_code"]) == ("kernel died", 4)
    assert run["error"] == "the kernel did not start"


def test_an_error_that_is_announced_is_none(make_notebook: Callable[..., Path], tmp_path: Path) -> None:
    import nbformat

    path = make_notebook("1 / 0", "print('after')")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[2].metadata["tags"] = ["raises-exception"]
    nbformat.write(notebook, path)
    folder = prepare(read_notebook(path), {}, folder=tmp_path / "run")
    assert launch(folder)["status"] == "ok"
    assert "after" in outputs(folder)
    assert "An Exception was encountered" not in (folder / "notebook.ipynb").read_text()


def test_the_limit_of_the_whole_run(
    make_notebook: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_notebook(FIRST, "print('began', flush=True)\nimport time; time.sleep(1000)")
    folder = prepare(read_notebook(path), {}, folder=tmp_path / "run", timeout=50)
    clock = Clock(launch_module.time)
    monkeypatch.setattr(launch_module, "time", clock)
    run = launch(folder, lambda event: clock.advance(100 if event["cell"] == 2 and "line" in event else 0))
    assert (run["status"], run["exit_code"]) == ("time limit", 5)
    assert run["error"] == "the run took longer than its limit of 50 s, in cell [2]"
    assert "this ran" in outputs(folder)
    assert "this ran" in (folder / "report.html").read_text()
    assert run_processes(folder) == set()


def test_a_child_that_is_killed_is_written_down_by_its_launcher(
    make_notebook: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sockets = tmp_path / "s"
    sockets.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(sockets))
    folder = prepare(
        read_notebook(make_notebook(FIRST, "import time; time.sleep(1000)")), {}, folder=tmp_path / "run"
    )

    def kill_the_child(event: dict) -> None:
        if event["cell"] == 2:
            for process in psutil.Process().children():
                if str(folder) in process.cmdline():
                    process.kill()

    run = launch(folder, kill_the_child)
    assert (run["status"], run["exit_code"]) == ("internal error", 70)
    assert "ended with code -9" in run["error"]
    assert [row["completed"] for row in run["cells"]] == [True, False]
    assert "this ran" in (folder / "report.html").read_text()
    assert run_processes(folder) == set()
    assert list(sockets.iterdir()) == []


def test_a_page_that_cannot_be_drawn_does_not_hide_the_end(
    make_notebook: Callable[..., Path], tmp_path: Path
) -> None:
    path = make_notebook(f"import os; os.mkdir({str(tmp_path / 'run' / 'report.html')!r})", "1 / 0")
    run = launch(prepare(read_notebook(path), {}, folder=tmp_path / "run"))
    assert (run["status"], run["exit_code"]) == ("internal error", 70)
    assert "the page could not be written" in run["error"]
    assert "cell [2] raised ZeroDivisionError" in run["error"]
    assert "report.html" in (tmp_path / "run" / "log.txt").read_text()


class Clock:
    """The real clock, with a jump."""

    def __init__(self, real) -> None:
        self.real, self.ahead = real, 0
        self.monotonic, self.sleep = real.monotonic, real.sleep

    def advance(self, seconds: float) -> None:
        self.ahead += seconds

    def time(self) -> float:
        return self.real.time() + self.ahead


def test_a_full_disk_ends_in_one_line(
    make_notebook: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("workbench.report.finish.write_whole", write)
    monkeypatch.setattr(launch_module.sys, "executable", "false")  # a child that could not write either
    folder = tmp_path / "run"
    result = CliRunner().invoke(app, ["report", str(make_notebook(FIRST)), "-o", str(folder)])
    assert result.exit_code == 70
    assert result.stderr.startswith(f"error: the run in {folder} could not be written down: ")
    assert "No space left on device" in result.stderr
