"""Previews: forked from one process, each as isolated as a run of its own, and never taken for one."""

import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import psutil
import pytest
from runs import alive, outputs, wait_for
from sweeps import PARAMETERS, SAY, count, said, start_sweep
from test_interruption import STUBBORN
from typer.testing import CliRunner

from workbench.cli import app
from workbench.parameters import read_notebook
from workbench.report import key
from workbench.report.folder import locked, read_json
from workbench.report.forking import Zygote, zygote
from workbench.report.launch import launch, run_locked
from workbench.report.prepare import prepare
from workbench.report.processes import run_processes
from workbench.report.sweep import sweep

LEAVE = """
import builtins, os, random, sys
import matplotlib.pyplot as plt, numpy, torch
import workbench as wb

wb.record("traces", str([name for name in ("left", "own") if hasattr(builtins, name)] + plt.get_fignums()))
wb.record("own", str("own" in globals() or hasattr(torch, "own") or "OWN" in os.environ))
wb.record("torch", torch.rand(()))
wb.record("numpy", numpy.random.rand())
wb.record("random", random.random())
builtins.left = torch.own = own = os.environ["OWN"] = "1"
torch.manual_seed(7)
torch.set_default_dtype(torch.float64)
figure = plt.figure()
figure.canvas.draw()
"""
SHOW = """
import os, sys
import matplotlib, matplotlib.pyplot as plt, plotly.io, torch
import plotly.graph_objects as go
from tqdm.auto import tqdm
import workbench as wb

torch.manual_seed(3)
layer = torch.nn.Linear(20, 20)
optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
for _ in tqdm(range(20)):
    optimizer.zero_grad()
    loss = layer(torch.randn(64, 20)).square().mean()
    loss.backward()
    optimizer.step()
wb.record("loss", loss, rtol=0)
wb.record("threads", torch.get_num_threads())
wb.record("folder", os.getcwd())
wb.record("path", str(sys.path))
wb.record("ways", str([plotly.io.renderers.default, matplotlib.get_backend(), type(get_ipython()).__name__]))
plt.plot([1, 2])
"""
FIGURES = "go.Figure(go.Scatter(y=[1])).show()\ngo.FigureWidget(go.Scatter(y=[1]))"


@pytest.fixture(scope="module")
def source(workplace: Path) -> Iterator[Zygote]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        with zygote() as made:
            yield made


@pytest.fixture
def run_forked(source: Zygote, tmp_path: Path) -> Callable[..., dict]:
    """Run a notebook forked from the zygote of this module, with options of ``prepare``."""

    def run_forked(path: Path, name: str = "run", signals: list[int] | None = None, **options: int) -> dict:
        folder = prepare(read_notebook(path), {}, folder=tmp_path / name, **options)
        with locked(folder) as lock:
            run_locked(folder, lock, signals if signals is not None else [], zygote=source)
        assert run_processes(folder) == set()
        return read_json(folder / "run.json")

    return run_forked


def test_nothing_passes_from_one_run_to_the_next(
    run_forked: Callable[..., dict], make_notebook: Callable[..., Path]
) -> None:
    path = make_notebook(LEAVE)
    first, second = (
        {name: figure["value"] for name, figure in run_forked(path, name)["recorded"].items()}
        for name in ("first", "second")
    )
    for run in (first, second):
        assert (run["traces"], run["own"]) == ("[]", "False")
    assert first["torch"] == second["torch"]  # its generator starts with a fixed seed
    assert first["numpy"] != second["numpy"]
    assert first["random"] != second["random"]


def test_it_computes_and_shows_what_an_ordinary_run_does(
    run_forked: Callable[..., dict],
    make_notebook: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    path = make_notebook(SHOW, FIGURES)
    ordinary = launch(prepare(read_notebook(path), {}, folder=tmp_path / "ordinary"))
    forked = run_forked(path, "forked")
    assert (ordinary["status"], forked["status"]) == ("ok", "ok")
    assert forked["recorded"] == ordinary["recorded"]
    assert [row["line"] for row in forked["cells"]] == [row["line"] for row in ordinary["cells"]]
    assert _kinds(tmp_path / "forked") == _kinds(tmp_path / "ordinary")
    assert (tmp_path / "forked" / "report.html").exists()


def _kinds(folder: Path) -> list[list[str]]:
    """The MIME types of all that a notebook shows."""
    cells = nbformat.read(folder / "notebook.ipynb", as_version=4).cells
    shown = [output for cell in cells for output in cell.get("outputs", [])]
    assert len(shown) >= 4
    return [sorted(output.get("data", [output.output_type])) for output in shown]


@pytest.mark.parametrize(
    ("cell", "code", "message"),
    [
        ("1 / 0", 3, "cell [2] raised ZeroDivisionError: division by zero"),
        ("import os; os._exit(0)", 4, "the kernel died in cell [2] (out of memory?)"),
        ("while True: pass", 5, "cell [2] took longer than its limit of 2 s"),
        ("import os; os.kill(os.getppid(), 9)", 70, "the process of the run ended with code -9"),
    ],
)
def test_a_run_that_fails_takes_nothing_with_it(
    run_forked: Callable[..., dict], make_notebook: Callable[..., Path], cell: str, code: int, message: str
) -> None:
    run = run_forked(make_notebook("print('this ran')", cell), "bad", cell_timeout=2)
    assert run["exit_code"] == code
    assert run["error"].startswith(message)
    assert run_forked(make_notebook("print('this ran')"), "next")["status"] == "ok"


def test_a_run_that_is_stopped_leaves_no_process(
    run_forked: Callable[..., dict], make_notebook: Callable[..., Path], tmp_path: Path
) -> None:
    signals: list[int] = []
    pids: list[int] = []

    def stop() -> None:
        wait_for((tmp_path / "run" / "pids").exists)
        pids.extend(map(int, (tmp_path / "run" / "pids").read_text().split()))
        signals.append(signal.SIGTERM)

    stopper = threading.Thread(target=stop)
    stopper.start()
    run = run_forked(make_notebook("print('this ran')", STUBBORN), signals=signals)
    stopper.join()
    assert (run["status"], run["exit_code"]) == ("interrupted", 143)
    assert len(pids) == 3
    assert not any(map(alive, pids))
    assert "began" in outputs(tmp_path / "run")


SAY_AND_KILL = """
import psutil
if os.path.exists(f"{place}/kill"):
    psutil.Process().parent().parent().kill()
    os.remove(f"{place}/kill")
say("end")
"""


def test_without_a_zygote_what_runs_goes_on_and_the_next_call_does_the_rest(
    make_notebook: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key, "_source", dict)
    path = make_notebook(SAY + SAY_AND_KILL, parameters=PARAMETERS)
    (tmp_path / "kill").touch()

    def ask(**options: bool):
        values = {"place": str(tmp_path)}
        return sweep(path, {"k": [1, 2]}, values=values, folder=tmp_path / "out", workers=1, **options)

    broken = ask(preview=True)
    assert [run.status for run in broken.runs] == ["ok", "lost"]
    assert broken.exit_code == 70
    gone = "RuntimeError: the process that previews are forked from is gone: it ended with code -9"
    assert broken.runs[1].error == gone
    assert said(tmp_path / "log") == {"start 1": 1, "end 1": 1}

    whole = ask(preview=True)
    assert [run.status for run in whole.runs] == ["ok", "ok"]
    assert said(tmp_path / "log") == {"start 1": 1, "end 1": 1, "start 2": 1, "end 2": 1}
    folders = [whole.folder / run.name for run in whole.runs]
    assert [read_json(folder / "run.json")["preview"] for folder in folders] == [True, True]
    assert whole.summary() == "2 previews of probe: 2 ok"
    assert "--preview" in (whole.folder / "sweep.html").read_text()

    ordinary = ask()
    assert {run.name for run in ordinary.runs}.isdisjoint(run.name for run in whole.runs)
    assert count(tmp_path / "log", "end") == 4


def test_a_zygote_ends_with_its_client_and_the_run_goes_on(
    make_notebook: Callable[..., Path], tmp_path: Path
) -> None:
    hold = "import time\nwhile os.path.exists(f'{place}/hold'): time.sleep(0.1)"
    path = make_notebook(SAY + hold, parameters=PARAMETERS)
    (tmp_path / "hold").touch()
    client = start_sweep(path, "-g", "k", "1", "-p", "place", tmp_path, "-o", tmp_path / "out", "--preview")
    wait_for((tmp_path / "log").exists)
    [process] = psutil.Process(client.pid).children()
    client.kill()
    client.communicate()
    wait_for(lambda: not alive(process.pid))
    (tmp_path / "hold").unlink()
    wait_for(lambda: any((tmp_path / "out").glob("*/run.json")))


def test_a_thread_is_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import threading, time; threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    with pytest.raises(ValueError, match=r"after importing workbench\S* there are threads \(.*\)"), zygote():
        pass


@pytest.mark.parametrize("option", [["--threads", "2"], ["--scheduler", "tcp://127.0.0.1:1"]])
def test_previews_are_small_and_here(make_notebook: Callable[..., Path], option: list[str]) -> None:
    path = make_notebook(parameters="k: int = 1")
    result = CliRunner().invoke(app, ["sweep", str(path), "-g", "k", "1", "--preview", *option])
    assert result.exit_code == 2
    assert result.stderr.startswith("error: previews run on this machine, each with one thread")
