"""What a Dask worker does for a sweep: run a folder, unless it has run, and stop when it is told to.

Dask may start a task twice: it repeats what a worker that died had begun, while the run of that worker, a
process of its own, goes on. The folder's lock, held by the run itself, makes the second task wait, and
``run.json`` tells it that there is nothing left to do.
"""

import contextlib
import hashlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.report.folder import RUN, clear, locked, read_json
from workbench.report.forking import Zygote
from workbench.report.launch import run_locked
from workbench.report.prepare import Request, write_request
from workbench.report.processes import kill_run

# Of this worker, by the name of the sweep: signals that it was told, and folders whose task has begun.
_signals: dict[str, list[int]] = defaultdict(list)
_begun: dict[str, list[Path]] = defaultdict(list)
_zygotes: dict[str, Zygote] = {}  # what the runs of a sweep of previews are forked from


@dataclass(frozen=True)
class Point:
    """One run of a sweep, as a worker needs it.

    Attributes
    ----------
    folder : Path
        Absolute, on a file system that all workers share.
    request : Request
    notebook : str
        The notebook's file, without outputs.
    replaces : str or None
        :func:`state` of the finished run that is to be run again; None if a finished run is to be kept.
    """

    folder: Path
    request: Request
    notebook: str
    replaces: str | None


def run_point(sweep: str, point: Point) -> dict[str, Any] | None:
    """Run a folder in a process of its own, unless it has run, and return the content of ``run.json``.

    Returns None if the sweep was stopped before this run began.
    """
    from distributed import get_worker

    signals = _signals[sweep]
    with _counted(sweep, point.folder):
        get_worker().log_event(sweep, point.folder.name)
        point.folder.mkdir(parents=True, exist_ok=True)
        try:
            with locked(point.folder, signals) as lock:
                if state(point.folder) == point.replaces:
                    if signals:
                        return None
                    _prepare(point)
                    run_locked(point.folder, lock, signals, zygote=_zygotes.get(sweep))
                return read_json(point.folder / RUN)
        except InterruptedError:
            return None


@contextlib.contextmanager
def lent(sweep: str, zygote: Zygote | None) -> Iterator[None]:
    """Let the tasks of a sweep in this process fork their runs, if there is something to fork from."""
    if zygote is not None:
        _zygotes[sweep] = zygote
    try:
        yield
    finally:
        _zygotes.pop(sweep, None)


def tell(sweep: str, signals: list[int]) -> int:
    """Pass signals to the runs of a sweep on this worker; returns how many of its tasks have not ended."""
    _signals[sweep] += signals
    return len(_begun[sweep])


def state(folder: Path) -> str | None:
    """Name the finished run in a folder, so that another one there can be told from it; None without one."""
    try:
        return hashlib.sha256((folder / RUN).read_bytes()).hexdigest()
    except FileNotFoundError:
        return None


def _prepare(point: Point) -> None:
    """Begin anew, whatever an earlier run left behind: files, or processes that outlived it."""
    kill_run(point.folder)
    clear(point.folder)
    write_request(point.folder, point.request, point.notebook)


@contextlib.contextmanager
def _counted(sweep: str, folder: Path) -> Iterator[None]:
    _begun[sweep].append(folder)
    try:
        yield
    finally:
        _begun[sweep].remove(folder)
