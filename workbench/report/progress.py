"""One line per cell on the terminal, as it runs."""

import os
from typing import Any

_WIDTH = 60


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


def say(text: str, end: str = "\n") -> None:
    """Print at once; where that is no longer possible, as after ``| head -1``, go on in silence."""
    try:
        print(text, end=end, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else what is still buffered raises again at exit
