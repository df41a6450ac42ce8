"""``zygote``: start the process that previews are forked from, and fork runs from it."""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from workbench.recording import RUN_VARIABLE
from workbench.report.environment import run_environment
from workbench.report.preload import DEFAULTS, ENVIRONMENT
from workbench.report.zygote import LONGEST

# No module of the working directory stands in for another; python -P would keep it from the kernels, too.
_START = """
import sys
sys.path = [place for place in sys.path if place]
from workbench.report.zygote import main
main(int(sys.argv[1]))
"""
_PATIENCE = 120  # seconds for its imports, which take about 10


class ForkedRun:
    """A run that was forked, with what the launcher needs of a ``Popen``.

    Parameters
    ----------
    process : int
        Its pidfd.
    stdout : file
        What it writes its events to.
    teller : socket
        On which the zygote tells its exit code.
    """

    def __init__(self, process: int, stdout: IO[bytes], teller: socket.socket) -> None:
        self.stdout = stdout
        self._process = process
        self._teller = teller
        self._code: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, None while it lives."""
        return self.wait() if select.select([self._process], [], [], 0)[0] else None

    def wait(self) -> int:
        """Wait for the end and return the exit code; -9 if the zygote, which alone learns it, is gone."""
        select.select([self._process], [], [])
        if self._code is None:
            self._code = int(self._teller.recv(16) or -signal.SIGKILL)
        return self._code

    def send_signal(self, signum: int) -> None:
        """Send a signal, unless it has ended."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._process, signum)

    def __enter__(self) -> "ForkedRun":
        return self

    def __exit__(self, *error: object) -> None:
        self.wait()
        self.stdout.close()
        self._teller.close()
        os.close(self._process)


class Zygote:
    """The process that previews are forked from, as its parent sees it; all threads may use it."""

    def __init__(self, process: "subprocess.Popen[bytes]", control: socket.socket, errors: IO[bytes]) -> None:
        self._process = process
        self._control = control
        self._errors = errors

    def wait_ready(self) -> None:
        """Wait until everything is imported.

        Raises
        ------
        ValueError
            If that takes too long or fails.
        """
        if not select.select([self._control], [], [], _PATIENCE)[0]:
            raise ValueError(f"the process that previews are forked from was not ready in {_PATIENCE} s")
        if not self._control.recv(16):
            raise ValueError(str(self._end()))

    def fork(self, folder: Path, sockets: str, lock: int, log: IO[bytes]) -> ForkedRun:
        """Start a run.

        Parameters
        ----------
        folder : Path
            Of the run, prepared.
        sockets : str
            Folder of the sockets of its kernel.
        lock : int
            File descriptor of the folder's lock.
        log : file
            For what it prints.

        Raises
        ------
        RuntimeError
            If the zygote is gone.
        """
        reads, writes = os.pipe()
        teller, told = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        stdout = os.fdopen(reads, "rb")
        with told, os.fdopen(writes, "wb"):
            message = json.dumps([str(folder), sockets]).encode()
            with contextlib.suppress(OSError):  # the answer tells
                socket.send_fds(self._control, [message], [told.fileno(), writes, log.fileno(), lock])
        _, processes, _, _ = socket.recv_fds(teller, 16, 1)
        if not processes:
            stdout.close()
            teller.close()
            raise self._end()
        return ForkedRun(processes[0], stdout, teller)

    def _end(self) -> RuntimeError:
        """Return an exception that says what is known of its end."""
        self._control.close()
        code = self._process.wait()
        self._errors.seek(0)
        *_, said = f"\n{self._errors.read().decode(errors='replace')}".rstrip().split("\n")
        reason = said if code == 1 and said else f"it ended with code {code}"
        return RuntimeError(f"the process that previews are forked from is gone: {reason}")


@contextlib.contextmanager
def zygote() -> Iterator[Zygote]:
    """Start a zygote, which works in this directory with this environment; it ends with the context.

    Raises
    ------
    ValueError
        If there can be none on this machine.
    """
    if not sys.platform.startswith("linux"):
        raise ValueError("previews need Linux: elsewhere a process cannot be forked after its imports")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, tempfile.TemporaryFile() as errors:
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-c", _START, str(theirs.fileno())],
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                start_new_session=True,
                pass_fds=[theirs.fileno()],
            )
        made = Zygote(process, ours, errors)
        try:
            made.wait_ready()
            yield made
        finally:
            process.kill()  # it has nothing to save, and its runs are other processes
            process.wait()


def _environment() -> dict[str, str]:
    """Return the environment of a run, with room for the name of its folder."""
    return {**DEFAULTS, **run_environment(threads=1), **ENVIRONMENT, RUN_VARIABLE: "-" * LONGEST}
