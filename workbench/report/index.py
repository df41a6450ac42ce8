"""``index``: one page of all runs, to look one up by what it was asked, how it ended or what it showed."""

import io
import json
import os
import time
from pathlib import Path
from typing import Any

from workbench.report.compare import number
from workbench.report.document import write_document
from workbench.report.folder import NOTEBOOK
from workbench.report.picture import address, first_picture
from workbench.report.runs import Run, asked, find_runs

_THUMBNAIL = (200, 120)  # pixels, twice what is shown where the screen is fine
_HEADLINES = 4  # recorded figures that are shown


def write_index(path: Path) -> int:
    """Write the page of all runs in the reports folder.

    Parameters
    ----------
    path : Path
        Where to write; links are relative to it.

    Returns
    -------
    int
        How many runs there are.

    Raises
    ------
    OSError
        If the page cannot be written.
    """
    rows = [_row(run, path.resolve().parent) for run in find_runs()]
    write_document(
        path,
        "index_of_runs.html.j2",
        title="Runs",
        rows=rows,
        notebooks=sorted({row["notebook"] for row in rows}),
        statuses=sorted({row["status"] for row in rows}),
        written=time.strftime("%Y-%m-%d %H:%M"),
    )
    return len(rows)


def _row(run: Run, folder: Path) -> dict[str, Any]:
    page = run.page if run.finished else None  # what stands there before may be half of it
    when = time.localtime(asked(run))
    return {
        "notebook": run.request["name"],
        "title": run.request["title"],
        "name": run.name,
        "link": page and Path(os.path.relpath(page.resolve(), folder)).as_posix(),
        "status": run.status,
        "preview": run.request.get("preview", False),
        "error": run.end.get("error") or "",
        "date": time.strftime("%Y-%m-%d", when),
        "time": time.strftime("%H:%M", when),
        "seconds": f"{run.end['seconds']:.1f}" if "seconds" in run.end else "",
        "parameters": [(name, _text(value)) for name, value in run.request["changed"].items()],
        "searched": " ".join(f"{name}={_text(value)}" for name, value in run.request["parameters"].items()),
        "figures": [
            (name, number(figure["value"]))
            for name, figure in list(run.end.get("recorded", {}).items())[:_HEADLINES]
        ],
        "thumbnail": _thumbnail(run.folder / NOTEBOOK) if run.finished else None,
    }


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _thumbnail(notebook: Path) -> str | None:
    """Return the picture of a run, small, as an address; None if it has none."""
    picture = first_picture(notebook)
    if picture is None:
        return None
    picture.thumbnail(_THUMBNAIL)
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=60, method=2)
    return address(buffer.getvalue(), "webp")
