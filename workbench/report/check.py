"""``check``: run notebooks side by side and hold what they recorded against their baselines."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.report.baseline import (
    Difference,
    compare,
    read_baseline,
    read_picture,
    write_baseline,
    write_picture,
)
from workbench.report.drift import write_drift
from workbench.report.folder import NOTEBOOK, PAGE, RUN, locked, read_json
from workbench.report.launch import run_locked
from workbench.report.outcome import BAD_INPUT, DRIFT, INTERNAL
from workbench.report.picture import small_png
from workbench.report.prepare import read_request
from workbench.report.progress import Progress
from workbench.report.signals import kept_signals

DRIFT_PAGE = "drift.html"


@dataclass(frozen=True)
class Checked:
    """What the check of one notebook found.

    Attributes
    ----------
    name : str
        Of the notebook.
    exit_code : int
        0 if all agrees or was accepted, 1 for drift, 2 if it records nothing, else how its run ended.
    verdict : str
        One line.
    see : Path or None
        The page or notebook that says more, if there is more to say.
    rows : tuple of Difference
        What was compared.
    """

    name: str
    exit_code: int
    verdict: str
    see: Path | None = None
    rows: tuple[Difference, ...] = ()

    @property
    def changed(self) -> list[Difference]:
        """The rows that do not agree."""
        return [row for row in self.rows if row.verdict != "ok"]


def check(
    folders: Sequence[Path],
    *,
    update: bool = False,
    workers: int | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> list[Checked]:
    """Run prepared folders and compare what they recorded with the baselines of their notebooks.

    A run that fails does not stop the others. Ctrl-C, SIGTERM and SIGHUP stop all of them; those that ended
    before are still compared.

    Parameters
    ----------
    folders : sequence of Path
        Made by :func:`workbench.report.prepare.prepare`, each of another notebook; those that have run are
        only compared.
    update : bool
        Accept the figures that changed, and with them the picture, as the new baseline.
    workers : int, optional
        Runs at once; by default one for each processor, which suits runs of one thread.
    on_progress : callable
        Takes how many have passed and how many have not, whenever that changed.

    Returns
    -------
    list of Checked
        One for each folder, in their order.

    Raises
    ------
    ValueError
        If a baseline cannot be read; nothing has run then.
    """
    names = [read_request(folder).name for folder in folders]
    baselines = [read_baseline(name) for name in names]
    slots = workers or os.cpu_count() or 1
    # Signals arrive in the main thread only, which keeps them in a list that all runs look into.
    with kept_signals() as signals, ThreadPoolExecutor(slots) as pool:
        tasks = [
            pool.submit(_checked, name, folder, baseline, update, signals)
            for name, folder, baseline in zip(names, folders, baselines, strict=True)
        ]
        on_progress(_progress([], len(tasks), slots))
        ended: list[Checked] = []
        for task in as_completed(tasks):
            ended.append(task.result())
            on_progress(_progress(ended, len(tasks), slots))
    return [task.result() for task in tasks]


def exit_code(checked: Sequence[Checked]) -> int:
    """Return 128 + signal if it was stopped, else the code of the first failure, else 1 for drift, else 0."""
    codes = [each.exit_code for each in checked]
    stopped = [code for code in codes if code > 128]
    failed = [code for code in codes if code > DRIFT]
    return (stopped or failed or [max(codes, default=0)])[0]


def _progress(ended: Sequence[Checked], total: int, slots: int) -> Progress:
    passed = sum(each.exit_code == 0 for each in ended)
    return Progress(passed, len(ended) - passed, min(slots, total - len(ended)), total)


def _checked(name: str, folder: Path, baseline: dict[str, Any], update: bool, signals: list[int]) -> Checked:
    try:
        run = _run(folder, signals)
        return _judged(name, folder, run, baseline, update)
    except InterruptedError:
        return Checked(name, 128 + signals[0], "not run, since the check was stopped")
    except OSError as error:  # a full disk; anything of the run itself is told in run.json
        return Checked(name, INTERNAL, f"the check could not be written down: {error}", folder)


def _run(folder: Path, signals: list[int]) -> dict[str, Any]:
    with locked(folder, signals) as lock:
        if not (folder / RUN).exists():
            if signals:
                raise InterruptedError
            run_locked(folder, lock, signals)
        return read_json(folder / RUN)


def _judged(name: str, folder: Path, run: dict[str, Any], baseline: dict[str, Any], update: bool) -> Checked:
    if run["exit_code"]:
        return Checked(name, run["exit_code"], run["error"], folder / NOTEBOOK)
    if not run["recorded"]:
        return Checked(name, BAD_INPUT, "records no figure to hold: call wb.record in it", folder / NOTEBOOK)
    rows = tuple(compare(baseline, run))
    changed = sum(row.verdict != "ok" for row in rows)
    is_new = baseline["parameters"] is None
    page = folder / (PAGE if is_new else DRIFT_PAGE)
    if changed and not is_new:
        write_drift(page, run, rows)
    if update:
        _accept(name, folder, run, baseline, bool(changed))
    verdict = _verdict(len(rows), changed, is_new, update)
    return Checked(name, DRIFT if changed and not update else 0, verdict, page if changed else None, rows)


def _accept(name: str, folder: Path, run: dict[str, Any], baseline: dict[str, Any], changed: bool) -> None:
    """Write down what changed; the picture of figures that all agree stays too, if there still is one."""
    before, now = read_picture(name), small_png(folder / NOTEBOOK)
    if changed:
        write_baseline(name, run, baseline)
    if changed or before is None or now is None:
        write_picture(name, now)


def _verdict(total: int, changed: int, is_new: bool, update: bool) -> str:
    if not changed:
        return f"{total} figures agree"
    if update:
        return f"baseline accepted, {changed} of {total} figures changed"
    if is_new:
        return "no baseline yet; --update accepts these figures"
    return f"{changed} of {total} figures drifted; --update accepts them"
