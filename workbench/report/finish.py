"""``finish``: write down how a run ended; the notebook, then the page, and ``run.json`` last."""

import time
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from workbench.parameters import read_notebook
from workbench.recording import recorded
from workbench.report.cells import Event, timings
from workbench.report.folder import LOG, NOTEBOOK, PAGE, RUN, write_json, write_whole
from workbench.report.outcome import Outcome, internal
from workbench.report.page import write_page
from workbench.report.prepare import Request
from workbench.report.reproduce import command
from workbench.report.versions import machine, versions


def finish(
    folder: Path,
    request: Request,
    outcome: Outcome,
    notebook: NotebookNode,
    events: Iterable[Event],
    started: float,
) -> None:
    """Close a run folder.

    Parameters
    ----------
    folder : Path
    request : Request
    outcome : Outcome
    notebook : NotebookNode
        As far as it ran.
    events : iterable of Event
        What was told of its cells.
    started : float
        Seconds since the epoch.
    """
    seconds = round(time.time() - started, 3)
    write_whole(folder / NOTEBOOK, nbformat.writes(_slim(notebook, request.source)))
    try:
        _write_page(folder, request, outcome, notebook, started, seconds)
    except Exception:  # whatever it is: a page that cannot be drawn must not hide how the run ended
        with (folder / LOG).open("a") as log:
            traceback.print_exc(file=log)
        also = f"; before that, {outcome.error}" if outcome.error else ""
        outcome = internal(f"the page could not be written, see {folder / LOG}{also}")
    run = {
        "notebook": request.name,
        "title": request.title,
        "source": request.source,
        "preset": request.preset,
        "preview": request.preview,
        "parameters": request.parameters,
        "seed": request.parameters.get("seed"),
        "status": outcome.status,
        "exit_code": outcome.exit_code,
        "error": outcome.error,
        "started": _iso(started),
        "seconds": seconds,
        "cells": timings(events),
        "recorded": recorded(folder),
        "versions": versions(),
        "machine": machine(),
    }
    write_json(folder / RUN, run)


def _slim(notebook: NotebookNode, source: str) -> NotebookNode:
    """Drop the state of widgets, 5 MB for each plotly figure, and papermill's unreliable notes on cells."""
    notebook.metadata.pop("widgets", None)
    notebook.metadata["papermill"] = {"input_path": source}  # pictures are relative to it
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
    return notebook


def _write_page(
    folder: Path, request: Request, outcome: Outcome, notebook: NotebookNode, started: float, seconds: float
) -> None:
    details: dict[str, Any] = {
        "notebook": request.name,
        "preset": request.preset,
        "preview": "yes" if request.preview else "",
        "run": folder.name,
        "started": _iso(started),
        "took": f"{seconds:.1f} s",
        "versions": ", ".join(f"{name} {version}" for name, version in versions().items()),
        "machine": machine(),
    }
    parameters = read_notebook(folder / NOTEBOOK).parameters
    write_page(
        notebook,
        folder / PAGE,
        title=request.title,
        parameters=[
            (each.name, each.text(request.parameters[each.name]), each.meaning) for each in parameters
        ],
        status=outcome.status,
        details={name: text for name, text in details.items() if text},
        command=command(request, parameters),
    )


def _iso(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(seconds))
