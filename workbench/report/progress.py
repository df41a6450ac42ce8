"""What the terminal shows of runs as they go: a line per cell of one run, one line for several runs."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_WIDTH = 60


@dataclass(frozen=True)
class Progress:
    """How far several runs are: done, failed (none of the former) and under way, of how many."""

    done: int
    failed: int
    running: int
    total: int


def show_progress(event: dict[str, Any]) -> None:
    """Print an event of :class:`workbench.report.cells.CellWatch`: a line begins, or ends with its time."""
    if "line" in event:
        number = f"{event['cell']:>{len(str(event['of']))}}/{event['of']}"
        say(f"  [{number}] {event['line'][:_WIDTH]:<{_WIDTH}}", end="")
    else:
        say(f" {event['seconds']:7.1f} s" + ("" if event["completed"] else "  failed"))


def end_progress(run: dict[str, Any]) -> None:
    """End the line of a cell that the kernel never replied to; takes the content of ``run.json``."""
    if run["cells"] and run["cells"][-1]["seconds"] is None:
        say(f"  {run['status']}")


def runs_progress() -> Callable[[Progress], None]:
    """Return a function that shows how far several runs are.

    On a terminal it is one line that changes, elsewhere a line whenever a run ends.
    """
    shown: set[int] = set()

    def show(progress: Progress) -> None:
        ended = progress.done + progress.failed
        counts = f"{progress.done} done, {progress.failed} failed, {progress.running} running"
        text = f"  {counts} of {progress.total}"
        if sys.stdout.isatty():
            say(f"\r{text:<{_WIDTH}}", end="\n" if ended == progress.total else "")
        elif ended not in shown:
            say(text)
        shown.add(ended)

    return show


def say(text: str, end: str = "\n") -> None:
    """Print at once; where that is no longer possible, as after ``| head -1``, go on in silence."""
    try:
        print(text, end=end, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else what is still buffered raises again at exit
