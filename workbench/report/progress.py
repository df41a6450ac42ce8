"""One line per cell on the terminal, as it runs."""

from typing import Any

_WIDTH = 60


def show_progress(event: dict[str, Any]) -> None:
    """Print an event of :class:`workbench.report.cells.CellWatch`: a line begins, or ends with its time."""
    if "line" in event:
        number = f"{event['cell']:>{len(str(event['of']))}}/{event['of']}"
        print(f"  [{number}] {event['line'][:_WIDTH]:<{_WIDTH}}", end="", flush=True)
    else:
        print(f" {event['seconds']:7.1f} s" + ("" if event["completed"] else "  failed"), flush=True)


def end_progress(run: dict[str, Any]) -> None:
    """End the line of a cell that the kernel never replied to; takes the content of ``run.json``."""
    if run["cells"] and run["cells"][-1]["seconds"] is None:
        print(f"  {run['status']}", flush=True)
