"""Runs that are stopped, and launchers that are killed: nothing is orphaned, nothing is lost or run twice."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from runs import alive, outputs, read_run, wait_for

from workbench.parameters import read_notebook
from workbench.report.folder import new_folder
from workbench.report.launch import launch
from workbench.report.prepare import prepare
from workbench.report.processes import run_processes

# A kernel that ignores interrupts, with a forked worker and one that left its session.
STUBBORN = """
import multiprocessing, os, pathlib, signal, subprocess, time
print("began", flush=True)
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(1000,))
worker.start()
stray = subprocess.Popen(["sleep", "1000"], start_new_session=True)
part = pathlib.Path(os.environ["WORKBENCH_RUN"], "part")
part.write_text(f"{os.getpid()} {worker.pid} {stray.pid}")
part.rename(part.with_name("pids"))
time.sleep(1000)
"""


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_no_process_and_keeps_what_ran(
    make_notebook: Callable[..., Path],
    start_report: Callable[..., subprocess.Popen],
    tmp_path: Path,
    signum: int,
    code: int,
) -> None:
    folder = tmp_path / "run"
    process = start_report(make_notebook("print('this ran')", STUBBORN), "-o", folder)
    wait_for((folder / "pids").exists)
    pids = [int(pid) for pid in (folder / "pids").read_text().split()]
    assert len(pids) == 3
    assert all(map(alive, pids))
    process.send_signal(signum)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    message = f"interrupted by {signal.Signals(signum).name} in cell [2]"
    assert errors == f"error: {message} ({folder}/notebook.ipynb)\n"
    assert not any(map(alive, pids))
    assert run_processes(folder) == set()
    assert (read_run(folder)["status"], read_run(folder)["exit_code"]) == ("interrupted", code)
    assert "this ran" in outputs(folder)
    assert "began" in outputs(folder)  # what the running cell had printed
    assert "this ran" in (folder / "report.html").read_text()


def test_a_run_outlives_its_launcher_and_a_second_one_waits_for_it(
    make_notebook: Callable[..., Path], tmp_path: Path
) -> None:
    cell = "import os, time\nopen(os.environ['WORKBENCH_RUN'] + '/ran', 'a').write('x')\ntime.sleep(1)"
    folder = prepare(read_notebook(make_notebook(cell)), {}, folder=tmp_path / "run")
    code = (
        f"import pathlib; from workbench.report.launch import launch; launch(pathlib.Path({str(folder)!r}))"
    )
    first = subprocess.Popen([sys.executable, "-c", code])
    wait_for((folder / "ran").exists)
    first.kill()
    first.wait()
    assert not (folder / "run.json").exists()
    assert launch(folder)["status"] == "ok"
    assert (folder / "ran").read_text() == "x"


def test_a_run_without_its_launcher_minds_its_limit(
    make_notebook: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = read_notebook(make_notebook("import time; time.sleep(1000)"))
    folder = prepare(notebook, {}, folder=tmp_path / "run", timeout=10)
    sockets = tmp_path / "s"
    sockets.mkdir()
    code = (
        "import pathlib, sys; from workbench.report import execute; execute._LATER = -5.0; "
        "execute.main(*map(pathlib.Path, sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, str(folder), str(sockets)]
    environment = {**os.environ, "WORKBENCH_RUN": str(folder)}
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, timeout=60, check=True)
    assert (read_run(folder)["status"], read_run(folder)["exit_code"]) == ("time limit", 5)
    assert run_processes(folder) == set()
    assert not sockets.exists()


def test_a_caller_that_raises_stops_the_run_and_keeps_what_ran(
    make_notebook: Callable[..., Path], tmp_path: Path
) -> None:
    path = make_notebook("print('this ran')", "import time; time.sleep(1000)")
    folder = prepare(read_notebook(path), {}, folder=tmp_path / "run")

    def raise_at_the_last(event: dict) -> None:
        if event["cell"] == 2:
            raise RuntimeError("of the caller")

    with pytest.raises(RuntimeError, match="of the caller"):
        launch(folder, raise_at_the_last)
    assert read_run(folder)["status"] == "interrupted"
    assert "this ran" in outputs(folder)
    assert run_processes(folder) == set()


@pytest.mark.parametrize("redirection", ["| head -1", "> /dev/full", ">&-"])
def test_a_run_goes_on_when_its_progress_cannot_be_printed(
    make_notebook: Callable[..., Path], tmp_path: Path, redirection: str
) -> None:
    path = make_notebook("print('this ran')")
    command = f"from workbench.cli import main; main()' report '{path}' -o '{tmp_path / 'run'}' {redirection}"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"'{sys.executable}' -c '{command}"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert read_run(tmp_path / "run")["status"] == "ok"


def test_a_terminal_without_letters_shows_question_marks(
    make_notebook: Callable[..., Path], start_report: Callable[..., subprocess.Popen], tmp_path: Path
) -> None:
    process = start_report(
        make_notebook("print('λ')"), "-o", tmp_path / "run", PYTHONIOENCODING="ascii", PYTHONUTF8="0"
    )
    shown, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert "print('?')" in shown


def test_two_runs_at_once_from_threads(make_notebook: Callable[..., Path]) -> None:
    path = make_notebook("import os\nprint(os.environ['WORKBENCH_RUN'])")
    folders = [prepare(read_notebook(path), {}) for _ in range(2)]
    with ThreadPoolExecutor() as pool:
        runs = list(pool.map(launch, folders))
    assert [run["status"] for run in runs] == ["ok", "ok"]
    for folder in folders:
        assert str(folder) in outputs(folder)


def test_folders_made_in_the_same_second_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draws = iter(["aaaa", "aaaa", "bbbb"])
    monkeypatch.setattr("secrets.token_hex", lambda _: next(draws))
    monkeypatch.setattr("time.strftime", lambda _: "20260101-000000")
    first, second = new_folder(tmp_path), new_folder(tmp_path)
    assert (first.name, second.name) == ("20260101-000000-aaaa", "20260101-000000-bbbb")
