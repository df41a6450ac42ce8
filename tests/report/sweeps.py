"""What the tests of sweeps share: a client, a cluster of separate processes, what notebooks write down."""

import contextlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
from runs import wait_for

# A folder, since the content of a file that a parameter names is part of a run's key.
PARAMETERS = "k: int = 0  # which\nplace: str = ''  # folder of the log that runs append to"
# Whoever appends one short line to a file cuts into no other's.
SAY = """
import os, pathlib, time
def say(word):
    with open(f"{place}/log", "a") as file:
        file.write(f"{word} {k}\\n")
say("start")
"""
# The package may be edited while the tests run; its source is then not what a second client looks for.
_CLIENT = "from workbench.report import key; key._source = dict; from workbench.cli import main; main()"


def start_sweep(*arguments: object) -> "subprocess.Popen[str]":
    """Start ``workbench sweep`` as a shell does."""
    command = [sys.executable, "-c", _CLIENT, "sweep", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def said(log: Path) -> Counter[str]:
    """How often each line was written."""
    return Counter(log.read_text().splitlines()) if log.exists() else Counter()


def count(log: Path, word: str) -> int:
    """How many lines begin with a word."""
    return sum(times for line, times in said(log).items() if line.split()[0] == word)


class Cluster:
    """A scheduler and workers, each a process that can be killed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        file = folder / "scheduler.json"
        self._start(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", file
        )
        wait_for(file.exists)
        self.address = json.loads(file.read_text())["address"]

    def start_worker(self) -> psutil.Process:
        """Start a worker with one thread, so that it has one run at a time."""
        options = ["--nthreads", 1, "--no-nanny", "--no-dashboard", "--local-directory", self._folder]
        return psutil.Process(self._start("worker", self.address, *options))

    def _start(self, role: str, *arguments: object) -> int:
        code = f"from distributed.cli.dask_{role} import main; main()"
        with (self._folder / f"{role}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", code, *map(str, arguments)], stdout=log, stderr=log
            )
        self._processes.append(process)
        return process.pid

    def stop(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """A cluster that is gone at the end."""
    made = Cluster(folder)
    try:
        yield made
    finally:
        made.stop()
