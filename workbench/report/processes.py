"""The processes of a run: found by descent and by the mark in their environment, and killed.

A kernel has its own session, a data worker outlives a kernel that was killed and then has no known parent:
neither a process group nor the tree alone finds them. All inherit the variable that names the run folder.
"""

import os
from contextlib import suppress
from pathlib import Path

import psutil

from workbench.recording import RUN_VARIABLE


def run_processes(folder: Path) -> set[psutil.Process]:
    """Return the living processes of the run in ``folder``, except the one that asks."""
    found: set[psutil.Process] = set()
    for process in psutil.process_iter():
        try:
            if process.environ().get(RUN_VARIABLE) == str(folder):
                found |= {process, *process.children(recursive=True)}
        except psutil.Error:  # it ended meanwhile, or is not ours to look at
            continue
    return {process for process in found if process.pid != os.getpid()}


def kill_run(folder: Path, known: set[psutil.Process] | None = None) -> None:
    """Kill all processes of a run, and those ``known`` from before, and wait for their end."""
    processes = (known or set()) | run_processes(folder)
    for _ in range(3):  # a process may be started between the look and the kill
        for process in processes:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(processes, timeout=5)
        processes = run_processes(folder)
