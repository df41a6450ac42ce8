"""What the tests look at: processes that live, and what a run folder says."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
import psutil


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def outputs(folder: Path) -> str:
    """All text that the cells of a saved notebook show, errors too."""
    notebook = nbformat.read(folder / "notebook.ipynb", as_version=4)
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "\n".join(
        output.get("text", "") + output.get("evalue", "") + "\n".join(output.get("traceback", []))
        for output in shown
    )


def read_run(folder: Path) -> dict:
    return json.loads((folder / "run.json").read_text())
