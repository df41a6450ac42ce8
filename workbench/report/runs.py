"""The runs that there are, and how each of them stands; read from their folders, nothing else is kept."""

import fcntl
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench import paths
from workbench.choices import suggestion
from workbench.report.folder import LOCK, LOG, PAGE, REQUEST, RUN, read_json


@dataclass(frozen=True)
class Run:
    """A run folder as it stands.

    Attributes
    ----------
    folder : Path
    status : str
        Of ``run.json`` if that is there; else ``"running"`` while somebody holds the folder's lock,
        ``"broken off"`` if nobody does, ``"not started"`` if nobody ever did.
    request : dict
        What was asked for.
    end : dict
        The content of ``run.json``; empty for a run that did not come to its end.
    """

    folder: Path
    status: str
    request: dict[str, Any]
    end: dict[str, Any]

    @property
    def name(self) -> str:
        """The folder from the reports folder, e.g. ``curvature/20260102-030405-6789``, or all of its path."""
        reports = paths.reports().resolve()
        return str(self.folder.relative_to(reports) if self.folder.is_relative_to(reports) else self.folder)

    @property
    def finished(self) -> bool:
        """Whether it came to an end, good or bad."""
        return bool(self.end)

    @property
    def page(self) -> Path | None:
        """Its page, if it has one."""
        page = self.folder / PAGE
        return page if page.exists() else None


def read_run(folder: Path) -> Run:
    """Read a run folder.

    Raises
    ------
    ValueError
        If it is not one.
    """
    try:
        request = read_json(folder / REQUEST)
        known = {"name", "title", "parameters", "changed"} <= request.keys()
    except (OSError, ValueError, AttributeError):
        known = False
    if not known:
        raise ValueError(f"{folder} is not the folder of a run")
    # In this order: the log is there from the start, and a free lock after that means that all is written.
    started = (folder / LOG).exists()
    held = is_held(folder)
    end = _end(folder)
    status = end.get("status") or ("running" if held else "broken off" if started else "not started")
    return Run(folder.resolve(), status, request, end)


def find_runs(
    root: Path | None = None, on_error: Callable[[Exception], None] = lambda error: None
) -> list[Run]:
    """Return the runs below a folder (the reports folder if none is named), the newest first.

    Links are not followed. ``on_error`` takes the OSError of a folder that cannot be read, and the
    ValueError of one that has a request but is not a run.
    """
    runs = []
    for place, folders, files in os.walk(root or paths.reports(), onerror=on_error):
        if REQUEST in files:
            folders.clear()
            try:
                runs.append(read_run(Path(place)))
            except ValueError as error:  # something else has a file of that name
                on_error(error)
    return sorted(runs, key=lambda run: (asked(run), run.name), reverse=True)


def find_run(text: str) -> Run:
    """Find one run.

    Parameters
    ----------
    text : str
        A folder, ``NAME/RUN`` in the reports folder, or ``NAME/latest`` or ``NAME/previous`` for the last
        and last but one finished run of a notebook; a preview is none.

    Raises
    ------
    ValueError
        If there is no such run.
    """
    for folder in (Path(text), paths.reports() / text):
        if folder.is_dir():
            return read_run(folder)
    name, _, word = text.rpartition("/")
    known = find_runs(paths.reports() / name) if name else []
    if word in ("latest", "previous"):
        finished = [run for run in known if run.finished and not run.request.get("preview")]
        place = ("latest", "previous").index(word)
        if len(finished) > place:
            return finished[place]
        raise ValueError(f"there is no {word} run of {name!r}: it has {len(finished)} finished ones")
    hint = suggestion(text, [run.name for run in known or find_runs()])
    raise ValueError(f"there is no run {text!r}{hint} (a folder, NAME/RUN, NAME/latest or NAME/previous)")


def is_held(folder: Path, *, shared: bool = False) -> bool:
    """Whether somebody holds the folder's lock for himself, or also ``shared`` with others."""
    try:
        with (folder / LOCK).open() as file:
            fcntl.flock(file, (fcntl.LOCK_EX if shared else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # there is none, or it is not ours to look at
        return False
    return False


def asked(run: Run) -> float:
    """When the run was asked for, in seconds since the epoch."""
    return (run.folder / REQUEST).stat().st_mtime


def _end(folder: Path) -> dict[str, Any]:
    try:
        end = read_json(folder / RUN)
    except (OSError, json.JSONDecodeError, UnicodeDecodeError):
        return {}
    whole = isinstance(end, dict) and {"status", "exit_code", "recorded", "parameters"} <= end.keys()
    return end if whole else {}
