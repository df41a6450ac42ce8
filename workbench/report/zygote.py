"""The process that previews are forked from, started by :mod:`workbench.report.forking`.

It has imported what runs import and does nothing else, so that it has one thread and holds no lock when it
forks. Each run is a process of its own, in its own session, with its own kernel, as an ordinary one is; only
its imports are done. The zygote reads one request after another from a socket; when the other end is
closed, it ends, and runs under way go on.
"""

import ctypes
import json
import os
import select
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from workbench.recording import RUN_VARIABLE
from workbench.report.preload import preload, require_one_thread

LONGEST = 4096  # bytes of a folder's path (PATH_MAX); as many dashes keep the place of its name
_MESSAGE = 4 * LONGEST


@dataclass(frozen=True)
class ForkRequest:
    """What a run is forked for.

    Attributes
    ----------
    folder, sockets : str
        As for :mod:`workbench.report.execute`.
    events, log, lock : int
        File descriptors: its standard output, its standard error, the lock that it is to hold.
    """

    folder: str
    sockets: str
    events: int
    log: int
    lock: int


def main(descriptor: int) -> None:
    """Serve a socket until its other end is closed; in each forked process, run what was asked."""
    control = socket.socket(fileno=descriptor)
    try:
        preload()
        control.send(b"ready")
        request = _serve(control)
    except RuntimeError as error:
        sys.exit(str(error))
    if request is not None:
        _run(request)


def _serve(control: socket.socket) -> ForkRequest | None:
    """Fork a process for each request and tell of its end; returns the request there, None here."""
    running: dict[int, tuple[int, socket.socket]] = {}  # by pidfd: pid, and whom to tell
    while True:
        ready, _, _ = select.select([control.fileno(), *running], [], [])
        for each in ready:
            if each in running:
                _tell_end(each, *running.pop(each))
                continue
            message, descriptors, _, _ = socket.recv_fds(control, _MESSAGE, 4)
            if not message:
                return None
            require_one_thread("forking")
            teller, *rest = descriptors
            pid = os.fork()
            if pid == 0:
                control.close()
                for descriptor, (_, other) in running.items():
                    os.close(descriptor)
                    other.close()
                os.close(teller)
                return ForkRequest(*json.loads(message), *rest)
            for descriptor in rest:  # above all the lock, which is the run's
                os.close(descriptor)
            process = os.pidfd_open(pid)
            running[process] = pid, socket.socket(fileno=teller)
            with suppress(OSError):  # who asked is gone
                socket.send_fds(running[process][1], [b"forked"], [process])


def _tell_end(process: int, pid: int, teller: socket.socket) -> None:
    os.close(process)
    _, status = os.waitpid(pid, 0)
    with teller, suppress(OSError):
        teller.send(str(os.waitstatus_to_exitcode(status)).encode())


def _run(request: ForkRequest) -> NoReturn:
    from workbench.report import execute
    from workbench.report.forked_kernel import forked_kernel_manager, plant

    os.setsid()
    _mark(request.folder)
    os.dup2(request.log, 1)
    os.dup2(request.log, 2)
    os.close(request.log)
    seed = plant(request.events, request.lock)  # now, while there is one thread
    os.dup2(request.events, 1)
    os.close(request.events)
    execute.main(Path(request.folder), Path(request.sockets), forked_kernel_manager(seed))
    sys.stderr.flush()
    os._exit(0)  # all is written; to take the interpreter down would take a second


def _mark(folder: str) -> None:
    """Set the variable by which :mod:`workbench.report.processes` finds what belongs to a run.

    The environment that /proc shows is the memory in which this process was started; it is written over.
    """
    os.environ[RUN_VARIABLE] = folder
    place = Path("/proc/self/environ").read_bytes().index(f"{RUN_VARIABLE}={'-' * LONGEST}".encode())
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start = int(fields[47])  # env_start of proc(5), of which the two before the bracket are split off
    text = os.fsencode(f"{RUN_VARIABLE}={folder}\0")
    ctypes.memmove(start + place, text, len(text))
