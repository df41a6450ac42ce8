"""A sweep on this machine: what it leaves, what it runs again, how it stops."""

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import psutil
import pytest
from runs import wait_for
from sweeps import PARAMETERS, SAY, cluster, count, said, start_sweep

from workbench.parameters import read_notebook
from workbench.report import key
from workbench.report.processes import run_processes
from workbench.report.sweep import Sweep, SweptRun, sweep

EVIL = "</script><script>alert(1)</script>"
BODY = """
if k == 2 and not os.path.exists(f"{place}/repaired"): raise RuntimeError(word)
import workbench as wb
wb.record("square", 1.5 * k * k)
wb.record("threads", os.environ["OMP_NUM_THREADS"])
say("end")
"""
WAIT = """
import time
while k > 0 and os.path.exists(f"{place}/hold"): time.sleep(0.1)
say("end")
"""


@pytest.fixture(autouse=True)
def a_package_that_nobody_edits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key, "_source", dict)


@pytest.fixture
def probe(make_notebook: Callable[..., Path]) -> Path:
    return make_notebook(SAY + BODY, parameters=f"{PARAMETERS}\nword: str = 'plain'  # what is said")


@pytest.fixture
def held(make_notebook: Callable[..., Path]) -> Path:
    return make_notebook(SAY + WAIT, parameters=PARAMETERS)


def test_it_runs_what_is_not_done(probe: Path, tmp_path: Path) -> None:
    def ask(*points: int, **options: bool) -> Sweep:
        values = {"place": str(tmp_path), "word": EVIL}
        return sweep(probe, {"k": points}, values=values, folder=tmp_path / "out", threads=3, **options)

    log = tmp_path / "log"
    swept = ask(1, 2)
    assert [run.status for run in swept.runs] == ["ok", "failed"]
    assert swept.exit_code == 3
    assert said(log) == {"start 1": 1, "end 1": 1, "start 2": 1}
    _has_table_and_page(swept)

    assert ask(1, 2).runs == swept.runs
    assert said(log) == {"start 1": 1, "end 1": 1, "start 2": 1}

    (tmp_path / "repaired").touch()
    wider = ask(1, 2, 3, retry=True)
    assert [run.status for run in wider.runs] == ["ok", "ok", "ok"]
    assert wider.exit_code == 0
    assert wider.runs[0] == swept.runs[0]
    assert said(log) == {"start 1": 1, "end 1": 1, "start 2": 2, "end 2": 1, "start 3": 1, "end 3": 1}


def test_every_type_of_value_has_a_column(make_notebook: Callable[..., Path], tmp_path: Path) -> None:
    parameters = "k: int | str | None = 1  # a\nseconds: float = 1.0  # b\nw: list[int] = [1]  # c"
    notebook = read_notebook(make_notebook(parameters=parameters))
    figures = {"whole": 2.0, "k": 5, "flag": True, "</script>": 1.5}
    runs = tuple(
        SweptRun(str(k), {"k": k, "seconds": 2.0, "w": [1, 2]}, "ok", 0, 0.5, None, figures)
        for k in (1, "a<b>", None)
    )
    swept = Sweep(notebook, {"k": [1, "a<b>", None]}, tmp_path, runs)
    swept.write()
    table = pd.read_parquet(tmp_path / "summary.parquet")
    assert table["k"].tolist()[:2] == ["1", "a<b>"]
    assert table["seconds_parameter"].tolist() == [2.0] * 3
    assert table["w"].tolist() == ["[1, 2]"] * 3
    assert table["k_recorded"].tolist() == [5] * 3
    assert table["whole"].dtype == "Float64"
    assert table["flag"].dtype == "boolean"
    panels = json.loads(swept.plot().to_json())["data"]
    assert [panel["x"] for panel in panels] == [[1, "a&lt;b>", "None"]] * 3


def _has_table_and_page(swept: Sweep) -> None:
    table = pd.read_parquet(swept.folder / "summary.parquet")
    assert table["k"].tolist() == [1, 2]
    assert table["word"].tolist() == [EVIL, EVIL]
    assert table["status"].tolist() == ["ok", "failed"]
    assert table["square"].dropna().tolist() == [1.5]
    assert table["threads"].dropna().tolist() == ["3"]
    assert (table["seconds"] > 0).all()
    page = (swept.folder / "sweep.html").read_text()
    assert f'<a href="{swept.runs[0].name}/report.html">' in page
    assert "RuntimeError" in page
    assert EVIL not in page
    [panel] = json.loads(swept.plot().to_json())["data"]
    assert panel["x"] == [1]
    assert (swept.folder / swept.runs[1].name / "report.html").exists()


@pytest.mark.parametrize("kind", [[], ["--preview"]], ids=["runs", "previews"])
def test_ctrl_c_ends_all_runs_and_the_next_call_goes_on(held: Path, tmp_path: Path, kind: list[str]) -> None:
    here = ["--workers", 2, *kind]
    options = [held, "-g", "k", "0,1,2,3", "-p", "place", tmp_path, "-o", tmp_path / "out", *here]
    _stops_and_goes_on(tmp_path, options, signal.SIGINT, 130)


def test_sigterm_ends_all_runs_of_a_scheduler_and_the_next_call_goes_on(held: Path, tmp_path: Path) -> None:
    with cluster(tmp_path) as workers:
        workers.start_worker()
        workers.start_worker()
        there = ["--scheduler", workers.address]
        options = [held, "-g", "k", "0,1,2,3", "-p", "place", tmp_path, "-o", tmp_path / "out", *there]
        _stops_and_goes_on(tmp_path, options, signal.SIGTERM, 143)


def _stops_and_goes_on(place: Path, options: list[object], signum: int, code: int) -> None:
    (place / "hold").touch()
    client = start_sweep(*options)
    wait_for(lambda: count(place / "log", "start") == 3)  # the first is done, two are held
    assert _listening(client) <= {"127.0.0.1"}
    client.send_signal(signum)
    _, errors = client.communicate(timeout=60)
    assert client.returncode == code, errors
    folders = [file.parent for file in (place / "out").glob("*/request.json")]
    assert len(folders) == 3
    assert not any(map(run_processes, folders))
    table = pd.read_parquet(place / "out" / "summary.parquet")
    assert table["status"].tolist() == ["ok", "interrupted", "interrupted", "not run"]

    (place / "hold").unlink()
    client = start_sweep(*options)
    _, errors = client.communicate(timeout=120)
    assert client.returncode == 0, errors
    again = {"start 1": 2, "start 2": 2}
    once = {f"{word} {k}": 1 for word in ("start", "end") for k in range(4)}
    assert said(place / "log") == once | again


def _listening(process: "subprocess.Popen[str]") -> set[str]:
    """Addresses that a process and its children listen at."""
    family = psutil.Process(process.pid)
    return {
        connection.laddr.ip
        for member in [family, *family.children(recursive=True)]
        for connection in member.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }
