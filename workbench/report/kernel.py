"""The kernel of a run: always this very interpreter, reached through sockets that cannot collide."""

import sys
from pathlib import Path

from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from traitlets.config import Config


class InterpreterKernelManager(AsyncKernelManager):
    """Starts ipykernel in ``sys.executable``, whatever kernels are registered under the notebook's name."""

    @property
    def kernel_spec(self) -> KernelSpec:
        """Specification made here instead of looked up."""
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=command, display_name="Python", language="python")


def private_sockets(folder: Path) -> Config:
    """Configuration that keeps the kernel's sockets in ``folder``, which must have a short path.

    TCP ports are chosen before the kernel binds them, so of many runs at once some would lose theirs.
    """
    return Config({"KernelManager": {"transport": "ipc", "connection_file": str(folder / "kernel.json")}})
