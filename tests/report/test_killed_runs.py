"""Whenever all processes of a run are killed, what is left never reads as a good run, unless it is one."""

import random
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from runs import outputs
from typer.testing import CliRunner

from workbench.cli import app
from workbench.parameters import read_notebook
from workbench.report.prepare import prepare
from workbench.report.processes import kill_run
from workbench.report.runs import read_run

CELLS = ["import workbench as wb\nwb.record('first', 1.0)", "wb.record('last', 2.0)\nprint('the end')"]
POINTS = 20


def start(folder: Path) -> subprocess.Popen:
    code = (
        f"import pathlib; from workbench.report.launch import launch; launch(pathlib.Path({str(folder)!r}))"
    )
    return subprocess.Popen([sys.executable, "-c", code])


@pytest.mark.slow
def test_a_run_that_is_killed_at_any_point_never_reads_as_good(
    make_notebook: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKBENCH_REPORTS", str(tmp_path))
    notebook = read_notebook(make_notebook(*CELLS))
    whole = prepare(notebook, {}, folder=tmp_path / "probe" / "whole")
    began = time.monotonic()
    assert start(whole).wait(timeout=200) == 0
    duration = time.monotonic() - began

    moments = [random.Random(point).uniform(0, duration) for point in range(POINTS - 5)]
    moments += [random.Random(point).uniform(0.8 * duration, duration) for point in range(5)]  # being written
    for point, moment in enumerate(moments):
        folder = prepare(notebook, {}, folder=tmp_path / "probe" / str(point))
        launcher = start(folder)
        time.sleep(moment)
        launcher.kill()
        launcher.wait()
        kill_run(folder)

    CliRunner().invoke(app, ["index"])
    page = (tmp_path / "index.html").read_text()
    good = [point for point in range(POINTS) if read_run(tmp_path / "probe" / str(point)).status == "ok"]
    assert len(good) < POINTS
    assert len(re.findall(r'class="state good"', page)) == 1 + len(good)
    for point in range(POINTS):
        folder = tmp_path / "probe" / str(point)
        result = CliRunner().invoke(app, ["compare", str(whole), str(folder), "-o", str(tmp_path / "c.html")])
        if point in good:
            assert "the end" in outputs(folder)
            assert "the end" in (folder / "report.html").read_text()
            assert result.exit_code == 0
        else:
            assert read_run(folder).status in ("not started", "broken off")
            assert result.exit_code == 2
