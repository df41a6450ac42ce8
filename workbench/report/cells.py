"""What happened to each code cell, as told by the kernel's replies.

papermill marks cells "completed" that a dead kernel or a time limit never let finish; replies cannot err so.
Cells are numbered from 1 as they execute, like the ``In [n]`` of a fresh session.
"""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from workbench.report.folder import NOTEBOOK, write_whole
from workbench.report.outcome import OK, Outcome, cell_raised, not_reached

Event = dict[str, Any]


class CellWatch:
    """Follows an execution by nbclient's hooks; saves the notebook and emits an event at each step.

    Parameters
    ----------
    folder : Path
        The run folder.
    emit : callable
        Takes ``{"cell": n, "of": total, "line": first line}`` when a cell starts, and
        ``{"cell": n, "seconds": float, "completed": bool}`` when the kernel replied.
    """

    def __init__(self, folder: Path, emit: Callable[[Event], None]) -> None:
        self.notebook: NotebookNode = nbformat.read(folder / NOTEBOOK, as_version=4)
        self.events: list[Event] = []
        self.current: int | None = None
        self._folder = folder
        self._emit = emit
        self._failure: Outcome | None = None

    def on_start(self, cell: NotebookNode, cell_index: int) -> None:
        """The cell was sent to the kernel."""
        self.current = self._number(cell_index)
        line = next(filter(None, map(str.strip, cell.source.splitlines())), "")
        self._save()
        self._tell({"cell": self.current, "of": self._number(len(self.notebook.cells) - 1), "line": line})
        self._began = time.monotonic()

    def on_reply(self, cell: NotebookNode, cell_index: int, execute_reply: dict[str, Any]) -> None:
        """The kernel replied that the cell completed or raised."""
        seconds = round(time.monotonic() - self._began, 3)
        content = execute_reply["content"]
        completed = content["status"] == "ok" or _may_raise(cell)
        if not completed and self._failure is None:
            self._failure = cell_raised(
                self._number(cell_index), content.get("ename", "an error"), content.get("evalue", "")
            )
        self._save()
        self._tell({"cell": self.current, "seconds": seconds, "completed": completed})

    def verdict(self) -> Outcome:
        """Good only if the kernel said so of each cell, and no output is an error that was not announced."""
        if self._failure is not None:
            return self._failure
        completed = {event["cell"] for event in self.events if event.get("completed")}
        for index, cell in enumerate(self.notebook.cells):
            if not _executable(cell):
                continue
            number = self._number(index)
            for output in cell.outputs:
                if output.output_type == "error" and not _may_raise(cell):
                    return cell_raised(number, output.ename, output.evalue)
            if number not in completed:
                return not_reached(number)
        return OK

    def mark(self, name: str, message: str) -> None:
        """Show in the cell that was running why it has no end."""
        for index, cell in enumerate(self.notebook.cells):
            if _executable(cell) and self._number(index) == self.current:
                error = nbformat.v4.new_output("error", ename=name, evalue=message, traceback=[message])
                cell.outputs.append(error)

    def _number(self, index: int) -> int:
        return sum(map(_executable, self.notebook.cells[: index + 1]))

    def _tell(self, event: Event) -> None:
        self.events.append(event)
        self._emit(event)

    def _save(self) -> None:
        write_whole(self._folder / NOTEBOOK, nbformat.writes(self.notebook))


def timings(events: Iterable[Event]) -> list[dict[str, Any]]:
    """One row per cell that was started: number, first line, seconds and whether it completed."""
    rows: dict[int, dict[str, Any]] = {}
    for event in events:
        row = rows.setdefault(event["cell"], {"cell": event["cell"], "seconds": None, "completed": False})
        row.update((key, value) for key, value in event.items() if key != "of")
    return list(rows.values())


def _may_raise(cell: NotebookNode) -> bool:
    return "raises-exception" in cell.metadata.get("tags", [])


def _executable(cell: NotebookNode) -> bool:
    return cell.cell_type == "code" and bool(cell.source.strip())
