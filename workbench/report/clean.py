"""``clean``: find what is old, and remove it without harm to what runs.

What goes is a :class:`Removable`: a run, a whole sweep, a trained problem in the cache, or the sockets that a
killed run left in the temporary folder. Finding removes nothing; removing takes the locks first.
"""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from workbench import paths
from workbench.problems.cache_files import cached_files, forget
from workbench.report.sockets import dead_sockets, remove_sockets
from workbench.report.unit import BLOCK, find_units

AGE = 30 * 86400.0  # seconds; the limit if nothing else says what is to go
_UNITS = {"h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}  # seconds

Note = Callable[[str], None]


@dataclass(frozen=True)
class Removable:
    """What may go.

    Attributes
    ----------
    name : str
        The folder from the reports folder, or the path.
    what : str
        ``"run"``, ``"sweep of N"``, ``"trained problem"`` or ``"sockets"``.
    status : str
        Of a run; of a sweep, how many of its runs are how.
    date : float
        When it was asked for or made, in seconds since the epoch.
    size : int
        Bytes on disk.
    remove : callable
        Removes it. Raises BlockingIOError if somebody uses it, ValueError if it has changed since it was
        found, another OSError if the system refuses.
    """

    name: str
    what: str
    status: str
    date: float
    size: int
    remove: Callable[[], None]


def read_age(text: str) -> float:
    """Read ``12h``, ``30d`` or ``2w`` as seconds.

    Raises
    ------
    ValueError
        If it is none of these.
    """
    found = re.fullmatch(r"(\d+)([hdw])", text)
    if found is None:
        raise ValueError(f"{text!r} is not an age; hours, days or weeks are written 12h, 30d, 2w")
    return int(found[1]) * _UNITS[found[2]]


def find_removable(
    note: Note,
    *,
    older_than: float | None = None,
    keep: int | None = None,
    failed: bool = False,
    caches: bool = False,
) -> list[Removable]:
    """Find what is asked for, and what killed runs left in the temporary folder; nothing is removed.

    Without ``older_than``, ``keep`` and ``failed`` it is the runs older than 30 days, or none if only the
    cache is asked for.

    Parameters
    ----------
    note, older_than, keep, failed
        As for :func:`old_runs`.
    caches : bool
        Also the trained problems in the cache.

    Raises
    ------
    ValueError
        If the cache cannot be read.
    """
    runs = older_than is not None or keep is not None or failed
    if not runs and not caches:
        runs, older_than = True, AGE
    return [
        *(old_runs(note, older_than=older_than, keep=keep or 0, failed=failed) if runs else ()),
        *(trained_problems() if caches else ()),
        *old_sockets(),
    ]


def old_runs(
    note: Note, *, older_than: float | None = None, keep: int = 0, failed: bool = False
) -> Iterator[Removable]:
    """Yield the runs and sweeps to which all that is asked applies, the newest first.

    Parameters
    ----------
    note : callable
        Takes a line for each folder that is left alone although it is asked for: one that runs, that was
        touched within a day and has not finished, that cannot be read or changed, or that holds what is not
        of a run.
    older_than : float, optional
        Seconds since it was asked for; a sweep is as old as its newest run.
    keep : int
        So many of each notebook, the newest that came to an end, stay. A sweep counts as one.
    failed : bool
        Only those that are not good; a sweep with one good run is good.
    """
    kept: Counter[str] = Counter()
    for unit in find_units(lambda error: note(f"left alone: {reason(error)}")):
        if unit.finished and kept[unit.notebook] < keep:
            kept[unit.notebook] += 1
        elif older_than is not None and time.time() - unit.date < older_than:
            continue
        elif not (failed and unit.good):
            try:
                size = unit.size()  # refuses what must not go
            except (OSError, ValueError) as error:
                note(f"{unit.name} is left alone: {reason(error)}")
                continue
            what = f"sweep of {len(unit.runs)}" if unit.is_sweep else "run"
            yield Removable(unit.name, what, unit.status, unit.date, size, unit.remove)


def trained_problems() -> Iterator[Removable]:
    """Yield what the cache of trained problems holds; all of it can be made again.

    Raises
    ------
    ValueError
        If the cache cannot be read.
    """
    try:
        folder = paths.cache()
        cached = cached_files(folder)
    except OSError as error:
        raise ValueError(f"the cache cannot be read: {reason(error)}") from error
    for key, files in cached.items():
        statuses = [file.lstat() for file in files]
        date = max(status.st_mtime for status in statuses)
        size = sum(status.st_blocks * BLOCK for status in statuses)
        yield Removable(key, "trained problem", "", date, size, partial(forget, folder, key))


def old_sockets() -> Iterator[Removable]:
    """Yield what killed runs left in the temporary folder."""
    for folder in dead_sockets():
        made = folder.lstat().st_mtime
        yield Removable(str(folder), "sockets", "", made, 0, partial(remove_sockets, folder))


def reason(error: Exception) -> str:
    """Return an error in one line, with its file if it has one."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror + (f": {error.filename}" if error.filename else "")
    return str(error)
