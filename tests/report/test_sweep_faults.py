"""Sweeps among faults: crashing runs, a killed worker, a killed client; every run starts exactly once."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import psutil
import pytest
from runs import wait_for
from sweeps import PARAMETERS, SAY, cluster, count, said, start_sweep

from workbench.report.processes import run_processes

CRASHES = {3: "failed", 10: "kernel died", 17: "kernel died"}
CRASH = """
if k == 3: raise RuntimeError("on purpose")
if k == 10: os._exit(1)
if k == 17: os.kill(os.getpid(), 9)
time.sleep(0.3)
say("end")
import workbench as wb
wb.record("square", k * k)
"""


@pytest.mark.parametrize(
    "total", [24, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])]
)
def test_nothing_is_lost_or_run_twice(make_notebook: Callable[..., Path], tmp_path: Path, total: int) -> None:
    log, folder = tmp_path / "log", tmp_path / "sweep"
    path = make_notebook(SAY + CRASH, parameters=PARAMETERS)
    points = ",".join(map(str, range(total)))
    with cluster(tmp_path) as workers:
        first, _ = workers.start_worker(), workers.start_worker()
        arguments = [
            path,
            "-g",
            "k",
            points,
            "-p",
            "place",
            tmp_path,
            "-o",
            folder,
            "--scheduler",
            workers.address,
        ]
        client = start_sweep(*arguments)
        wait_for(lambda: count(log, "start") >= total // 4, seconds=300)
        orphans = _kill_amid_a_run(first, folder)
        workers.start_worker()
        wait_for(lambda: count(log, "start") >= total // 2, seconds=300)
        client.kill()
        client.communicate()
        client = start_sweep(*arguments)
        output, errors = client.communicate(timeout=1000)
    assert orphans  # the killed worker left a run behind, which went on
    assert client.returncode == 3, errors
    assert f"{total} runs of probe: {total - 3} ok, 1 failed, 2 kernel died" in output
    assert said(log) == {
        **{f"start {k}": 1 for k in range(total)},
        **{f"end {k}": 1 for k in range(total) if k not in CRASHES},
    }
    table = pd.read_parquet(folder / "summary.parquet").set_index("k")
    assert table["status"].to_dict() == {k: CRASHES.get(k, "ok") for k in range(total)}
    assert table["square"].dropna().to_dict() == {k: k * k for k in range(total) if k not in CRASHES}
    assert sorted(table["run"]) == sorted(file.parent.name for file in folder.glob("*/run.json"))
    assert not any(run_processes(folder / name) for name in table["run"])


def _kill_amid_a_run(worker: psutil.Process, folder: Path) -> list[psutil.Process]:
    """SIGKILL a worker while it waits for a run; returns the processes of the run, which live on."""
    wait_for(lambda: any(str(folder) in " ".join(child.cmdline()) for child in worker.children()))
    runs = worker.children()
    worker.kill()
    worker.wait()
    return [run for run in runs if run.is_running()]
