"""``compare``: two runs side by side; what was asked, figures, results, environment."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from workbench.report.baseline import Difference, compare
from workbench.report.document import packed_plotly, write_document
from workbench.report.folder import NOTEBOOK
from workbench.report.overlay import overlay
from workbench.report.picture import addresses, small_png
from workbench.report.results import Side, read_results
from workbench.report.runs import Run

_Rows = list[tuple[str, str, str]]


def compare_runs(a: Run, b: Run) -> list[Difference]:
    """Return the recorded figures side by side; the tolerances are those of ``a``.

    Raises
    ------
    ValueError
        If one of the two did not come to its end: there is nothing to compare yet, or ever.
    """
    for run in (a, b):
        if not run.finished:
            raise ValueError(f"the run {run.name} cannot be compared: it is {run.status}")
    return compare({"parameters": None, "figures": a.end["recorded"]}, b.end)


def is_same(a: Run, b: Run, rows: list[Difference]) -> bool:
    """Whether both runs are good and every figure is within its tolerance."""
    return a.status == b.status == "ok" and all(row.verdict == "ok" for row in rows)


def write_comparison(a: Run, b: Run, rows: list[Difference], path: Path) -> None:
    """Write the page of a comparison.

    Parameters
    ----------
    a, b : Run
        Both finished.
    rows : list of Difference
        What :func:`compare_runs` returned.
    path : Path
        Where to write; links to the two reports are relative to it.

    Raises
    ------
    OSError
        If the page cannot be written.
    """
    both, alone = read_results(a.folder, b.folder)
    results = [_result(name, *sides) for name, sides in both.items()]
    write_document(
        path,
        "compare.html.j2",
        title=_title(a, b),
        same=is_same(a, b, rows),
        verdict=_verdict(a, b, rows),
        runs=[_heading("A", a, path), _heading("B", b, path)],
        pictures=addresses({"A": small_png(a.folder / NOTEBOOK), "B": small_png(b.folder / NOTEBOOK)}),
        figures=figure_rows(rows),
        parameters=_differing(a.end["parameters"], b.end["parameters"]),
        environment=_differing(_environment(a), _environment(b)),
        results=results,
        alone=alone,
        plotly=packed_plotly() if any(result["figure"] for result in results) else None,
    )


def figure_rows(rows: Iterable[Difference]) -> list[dict[str, str]]:
    """The figures as text, for the page and the terminal."""
    return [
        {
            "name": row.name,
            "a": number(row.baseline),
            "b": number(row.now),
            "difference": _difference(row),
            "relative": number(row.relative),
            "tolerance": row.tolerance,
            "verdict": row.verdict,
        }
        for row in rows
    ]


def number(value: Any) -> str:
    """A figure as text, with six digits; nothing for None."""
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _difference(row: Difference) -> str:
    pair = (row.baseline, row.now)
    if any(isinstance(each, bool) or not isinstance(each, int | float) for each in pair):
        return ""
    return f"{row.now - row.baseline:+.3g}"


def _title(a: Run, b: Run) -> str:
    names = dict.fromkeys((a.request["title"], b.request["title"]))
    return "Two runs: " + " and ".join(names)


def _verdict(a: Run, b: Run, rows: list[Difference]) -> str:
    bad = [f"{letter} {run.status}" for letter, run in (("A", a), ("B", b)) if run.status != "ok"]
    differ = sum(row.verdict != "ok" for row in rows)
    counted = f"{differ} of {len(rows)} figures differ" if differ else f"{len(rows)} figures agree"
    return ", ".join([*bad, counted])


def _heading(letter: str, run: Run, path: Path) -> dict[str, Any]:
    link = run.page and os.path.relpath(run.page.resolve(), path.resolve().parent)
    return {
        "letter": letter,
        "name": run.name,
        "link": link and Path(link).as_posix(),
        "notebook": run.request["name"],
        "started": run.end.get("started", ""),
        "seconds": f"{run.end.get('seconds', 0):.1f} s",
        "status": run.status,
        "error": run.end.get("error") or "",
    }


def _environment(run: Run) -> dict[str, Any]:
    return {**run.end.get("versions", {}), "machine": run.end.get("machine"), "notebook": run.request["name"]}


def _differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> _Rows:
    return [
        (name, _text(a, name), _text(b, name))
        for name in {**a, **b}
        if (name in a) != (name in b) or a.get(name) != b.get(name)
    ]


def _text(values: Mapping[str, Any], name: str) -> str:
    if name not in values:
        return "—"
    value = values[name]
    return value if isinstance(value, str) else json.dumps(value)


def _result(name: str, a: Side, b: Side) -> dict[str, Any]:
    named = a.picture and b.picture and a.first_is_text  # rows with names make no curves
    figure, note = (None, "") if named else overlay(a.frame, b.frame)
    return {"name": name, "figure": figure, "note": note, "a": a.shown(), "b": b.shown()}
