"""The page of a drift: which figures left their baselines, by how much, and the pictures of then and now."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workbench.report.baseline import Difference, read_picture
from workbench.report.compare import figure_rows
from workbench.report.document import write_document
from workbench.report.folder import NOTEBOOK, PAGE
from workbench.report.picture import addresses, small_png


def write_drift(path: Path, run: dict[str, Any], rows: Sequence[Difference]) -> None:
    """Write the page of a run whose figures differ from the baseline; those that differ come first.

    Parameters
    ----------
    path : Path
        Where to write, in the folder of the run.
    run : dict
        The content of its ``run.json``.
    rows : sequence of Difference

    Raises
    ------
    OSError
        If the page cannot be written.
    """
    ordered = sorted(rows, key=lambda row: row.verdict == "ok")
    differ = sum(row.verdict != "ok" for row in rows)
    write_document(
        path,
        "drift.html.j2",
        title=run["title"],
        verdict=f"{differ} of {len(rows)} figures drifted",
        run=path.parent.name,
        link=PAGE,
        started=run["started"],
        baseline=f"baselines/{run['notebook']}.json",
        figures=figure_rows(ordered),
        pictures=addresses(
            {"Baseline": read_picture(run["notebook"]), "Now": small_png(path.with_name(NOTEBOOK))}
        ),
    )
