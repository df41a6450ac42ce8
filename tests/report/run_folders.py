"""Run folders as runs leave them, made without running anything."""

import base64
import dataclasses
import fcntl
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image

import workbench as wb
from workbench.report.folder import write_json
from workbench.report.prepare import Request


def figure(value: Any, rtol: float = 0.02, atol: float = 0.0) -> dict[str, Any]:
    return {"value": value, "rtol": rtol, "atol": atol}


def picture(size: tuple[int, int] = (600, 300)) -> str:
    pixels = np.random.default_rng(0).integers(0, 255, (*size[::-1], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def asked_run(folder: Path, name: str = "probe", title: str = "A probe", **parameters: Any) -> Path:
    """A run that was asked for and never started."""
    folder.mkdir(parents=True)
    request = Request(
        name=name,
        title=title,
        source=f"{name}.ipynb",
        directory=str(folder),
        preset=None,
        parameters=parameters,
        changed=parameters,
        timeout=60,
        cell_timeout=60,
    )
    write_json(folder / "request.json", dataclasses.asdict(request))
    return folder


def as_preview(folder: Path) -> Path:
    """The same run, asked for as a preview."""
    request = json.loads((folder / "request.json").read_text())
    write_json(folder / "request.json", {**request, "preview": True})
    return folder


def started_run(folder: Path, **asked: Any) -> Path:
    """A run whose processes are gone without having written how it ended."""
    asked_run(folder, **asked)
    (folder / "log.txt").touch()
    (folder / ".lock").touch()
    return folder


def finished_run(
    folder: Path,
    *,
    recorded: dict[str, Any] | None = None,
    status: str = "ok",
    versions: dict[str, str] | None = None,
    shown: str | None = None,
    **asked: Any,
) -> Path:
    """A run that came to its end, with a page and, if ``shown`` is a picture, a notebook that has it."""
    started_run(folder, **asked)
    request = json.loads((folder / "request.json").read_text())
    outputs = [new_output("display_data", data={"image/png": shown})] if shown else []
    nbformat.write(new_notebook(cells=[new_code_cell("x", outputs=outputs)]), folder / "notebook.ipynb")
    (folder / "report.html").write_text("<!DOCTYPE html><title>A report</title>")
    end = {
        "notebook": request["name"],
        "title": request["title"],
        "parameters": request["parameters"],
        "status": status,
        "exit_code": 0 if status == "ok" else 3,
        "error": None if status == "ok" else "cell [1] raised ValueError: x",
        "started": "2026-01-02T03:04:05+0000",
        "seconds": 12.34,
        "recorded": recorded or {},
        "versions": versions or {"torch": "2"},
        "machine": "a machine",
    }
    write_json(folder / "run.json", end)
    return folder


def add_result(folder: Path, name: str, samples: tuple[float, ...]) -> None:
    result = wb.Estimate(name, float(np.mean(samples)), 0.1, samples, len(samples))
    result.save(folder / "results" / f"{name}.npz")
    result.frame().to_parquet(folder / "results" / f"{name}.parquet")


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder as its run does."""
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
