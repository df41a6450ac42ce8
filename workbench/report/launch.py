"""``launch``: run a prepared folder in a child process, exactly once, and leave no process behind."""

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

from workbench.recording import RUN_VARIABLE
from workbench.report.environment import run_environment
from workbench.report.folder import LOG, NOTEBOOK, RUN, locked, read_json
from workbench.report.forking import ForkedRun, Zygote
from workbench.report.outcome import Outcome, internal, stopped
from workbench.report.prepare import Request, read_request
from workbench.report.processes import kill_run, run_processes
from workbench.report.signals import LIMIT, kept_signals
from workbench.report.sockets import PREFIX

Child: TypeAlias = "subprocess.Popen[bytes] | ForkedRun"

_GRACE = 20.0  # seconds in which a child that is asked to stop can save what ran and draw the page
_TICK = 0.1


def launch(folder: Path, on_event: Callable[[dict[str, Any]], None] = lambda event: None) -> dict[str, Any]:
    """Run a folder that :func:`workbench.report.prepare.prepare` made, unless it has run before.

    The child, not the caller, holds the folder's lock to the end: if the caller is killed, the run goes on,
    and a second caller waits for it and returns what it wrote. Ctrl-C, SIGTERM, SIGHUP and the time limit
    stop the run; what it did until then is kept.

    Parameters
    ----------
    folder : Path
        The run folder, absolute.
    on_event : callable
        Takes each event of :class:`workbench.report.cells.CellWatch`.

    Returns
    -------
    dict
        The content of ``run.json``.
    """
    with locked(folder) as lock:
        if not (folder / RUN).exists():
            with kept_signals() as signals:
                run_locked(folder, lock, signals, on_event)
        return read_json(folder / RUN)


def run_locked(
    folder: Path,
    lock: int,
    signals: list[int],
    on_event: Callable[[dict[str, Any]], None] = lambda event: None,
    zygote: Zygote | None = None,
) -> None:
    """Run a prepared folder whose lock is held, and write ``run.json``.

    Parameters
    ----------
    folder : Path
    lock : int
        File descriptor of the lock, which the child inherits.
    signals : list of int
        Signals to stop the run for, which arrive here while it runs; a second one stops it at once.
    on_event : callable
        Takes each event of :class:`workbench.report.cells.CellWatch`.
    zygote : Zygote, optional
        What to fork the child from, instead of starting it.
    """
    started = time.time()
    request = read_request(folder)
    events: list[dict[str, Any]] = []
    with (
        tempfile.TemporaryDirectory(prefix=PREFIX) as sockets,  # here, since the child may be killed
        _child(folder, request, lock, sockets, zygote) as child,
    ):
        try:
            signum = None
            for event in _events(child):
                if event is not None:
                    events.append(event)
                    on_event(event)
                elif signals or time.time() - started > request.timeout:
                    signum = signals[0] if signals else LIMIT
                    _stop(child, folder, signum, signals)
                    break
        except BaseException:  # of on_event: the child saves what ran before it ends
            _stop(child, folder, signal.SIGTERM, signals)
            raise
        finally:
            kill_run(folder)
            code = child.wait()
    if not (folder / RUN).exists():
        cell = events[-1]["cell"] if events else None
        outcome = _died(code, folder) if signum is None else stopped(signum, cell, request.timeout)
        _finish(folder, request, outcome, events, started)


def _child(folder: Path, request: Request, lock: int, sockets: str, zygote: Zygote | None) -> Child:
    with (folder / LOG).open("wb") as log:
        if zygote is not None:
            return zygote.fork(folder, sockets, lock, log)
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "workbench.report.execute", str(folder), sockets],
            cwd=request.directory,
            env={**run_environment(request.threads), RUN_VARIABLE: str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,  # a Ctrl-C at the terminal is for the launcher to handle
            pass_fds=[lock],
        )


def _events(child: Child) -> Iterator[dict[str, Any] | None]:
    """Yield the child's events, and None whenever a moment passes without one, until it ends."""
    assert child.stdout is not None
    channel = child.stdout.fileno()
    pending = b""
    with selectors.DefaultSelector() as selector:
        selector.register(channel, selectors.EVENT_READ)
        while True:
            if selector.select(_TICK):
                part = os.read(channel, 65536)
                if not part:
                    return
                *lines, pending = (pending + part).split(b"\n")
                yield from map(json.loads, lines)
            yield None


def _stop(child: Child, folder: Path, signum: int, signals: list[int]) -> None:
    """Ask the child to save what ran and to end; kill all that is left after that, or at a second signal."""
    known = run_processes(folder)  # before anything ends: what has lost its parent is harder to find
    asked = len(signals)
    child.send_signal(signum)
    deadline = time.monotonic() + _GRACE
    while child.poll() is None and time.monotonic() < deadline and len(signals) == asked:
        time.sleep(_TICK)
    kill_run(folder, known)


def _died(code: int, folder: Path) -> Outcome:
    return internal(f"the process of the run ended with code {code}, see {folder / LOG}")


def _finish(
    folder: Path, request: Request, outcome: Outcome, events: list[dict[str, Any]], started: float
) -> None:
    import nbformat

    from workbench.report.finish import finish

    notebook = nbformat.read(folder / NOTEBOOK, as_version=4)
    finish(folder, request, outcome, notebook, events, started)
