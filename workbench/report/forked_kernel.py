"""The kernel of a preview: forked, before there is a second thread, from the process that will drive it."""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn, cast

from jupyter_client.provisioning import LocalProvisioner

from workbench.report.kernel import InterpreterKernelManager


class Seed:
    """A process that waits to become a kernel; from then on, what jupyter_client needs of a ``Popen``.

    Parameters
    ----------
    pid : int
    pipe : int
        File descriptor of what it waits for; when that is closed without a word, it ends.
    """

    stdin = stdout = stderr = None

    def __init__(self, pid: int, pipe: int) -> None:
        self.pid = pid
        self._pipe = pipe
        self._code: int | None = None

    def grow(self, command: list[str], environment: dict[str, str]) -> None:
        """Let it become the kernel that ``command`` would start."""
        with os.fdopen(self._pipe, "w") as pipe:
            json.dump([command, environment], pipe)

    def poll(self) -> int | None:
        """Return the exit code, None while it lives."""
        return self._waited(os.WNOHANG)

    def wait(self) -> int | None:
        """Wait for the end and return the exit code."""
        return self._waited(0)

    def send_signal(self, signum: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, signum)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def _waited(self, options: int) -> int | None:
        if self._code is None:
            pid, status = os.waitpid(self.pid, options)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code


def plant(*foreign: int) -> Seed:
    """Fork a process that waits to become a kernel and closes the file descriptors that are not for it."""
    waits, tells = os.pipe()
    pid = os.fork()
    if pid == 0:
        for descriptor in (tells, *foreign):
            os.close(descriptor)
        os.setsid()
        _become_kernel(waits)
    os.close(waits)
    return Seed(pid, tells)


def forked_kernel_manager(seed: Seed) -> type[InterpreterKernelManager]:
    """Return a class whose one instance starts a kernel from a seed."""

    class Provisioner(LocalProvisioner):
        async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
            seed.grow(cmd, kwargs["env"])
            self.process = cast(Any, seed)
            self.pid = self.pgid = seed.pid
            self.cwd = Path.cwd()
            return self.connection_info

    class Manager(InterpreterKernelManager):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.provisioner = Provisioner(parent=self, kernel_spec=self.kernel_spec)

    return Manager


def _become_kernel(waits: int) -> NoReturn:
    with os.fdopen(waits) as pipe:
        text = pipe.read()
    if not text:  # the run ended before it needed a kernel
        os._exit(0)
    import numpy
    from ipykernel.kernelapp import launch_new_instance

    command, environment = json.loads(text)
    os.environ.update(environment)
    numpy.random.seed()  # noqa: NPY002  # all that is forked has one state; random sees to itself
    # ipykernel took its parent from the environment when it was imported.
    sys.argv[1:] = [*command[3:], f"--IPKernelApp.parent_handle={os.getppid()}"]
    launch_new_instance()
    os._exit(0)
