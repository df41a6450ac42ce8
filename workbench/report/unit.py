"""What is removed as a whole: one run, or a sweep with all its runs."""

import errno
import os
import re
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from workbench import paths
from workbench.report.folder import LOCK, REQUEST, RUN, locked_at_once, remove
from workbench.report.runs import Run, asked, find_runs, is_held

BLOCK = 512  # bytes; of st_blocks
_RECENT = 86400.0  # seconds in which what has not finished may yet start, or run where locks do not hold
_RUN_OF_A_SWEEP = re.compile(r"[0-9a-f]{16}")  # the name that run_key gives
_FILE_OF_A_SWEEP = re.compile(r"\.lock|\.?(summary\.parquet|sweep\.html)(\.\d+)?")
_OTHER_FILES = 64  # that are open besides the locks

_State = dict[Path, tuple[int | None, int | None]]


@dataclass(frozen=True)
class Unit:
    """A run, or a sweep with all its runs, as it stood when it was found.

    Attributes
    ----------
    folder : Path
        Of the run or of the sweep; absolute, without links.
    runs : tuple of Run
    date : float
        When the newest of the runs was asked for, in seconds since the epoch.
    state : dict
        When the request and the end of each run were written.
    """

    folder: Path
    runs: tuple[Run, ...]
    date: float
    state: _State

    @property
    def is_sweep(self) -> bool:
        """Whether it is a sweep."""
        return self.runs[0].folder != self.folder

    @property
    def name(self) -> str:
        """The folder from the reports folder."""
        return str(self.folder.relative_to(paths.reports().resolve()))

    @property
    def notebook(self) -> str:
        """Name of the notebook."""
        return str(self.runs[0].request["name"])

    @property
    def status(self) -> str:
        """How the run is; of a sweep, how many of its runs are how."""
        if not self.is_sweep:
            return self.runs[0].status
        counts = Counter(run.status for run in self.runs)
        return ", ".join(f"{count} {status}" for status, count in counts.items())

    @property
    def finished(self) -> bool:
        """Whether one of its runs came to an end."""
        return any(run.finished for run in self.runs)

    @property
    def good(self) -> bool:
        """Whether one of its runs is good."""
        return any(run.status == "ok" for run in self.runs)

    def size(self) -> int:
        """Bytes on disk of what may go.

        Raises
        ------
        ValueError
            If it must stay: baselines or something else is in it, or it has not finished and was touched
            within a day.
        OSError
            If it runs, or cannot be read or changed.
        """
        if any(run.status == "running" for run in self.runs) or is_held(self.folder, shared=True):
            raise BlockingIOError("it is running")
        if any(not run.finished and _touched(run.folder) > time.time() - _RECENT for run in self.runs):
            raise ValueError("it has not finished, and it is less than a day old")
        for run in self.runs:
            if (run.folder / RUN).exists() and not os.access(run.folder / RUN, os.R_OK):
                raise _not_permitted(run.folder / RUN)  # it may be a good one
        self._refuse_what_is_foreign()
        return _measured(self.folder, {run.folder for run in self.runs})

    def remove(self) -> None:
        """Remove it; first of all what says that its runs ended well.

        Raises
        ------
        BlockingIOError
            If one of its locks is held.
        ValueError
            If it is not as it was found.
        OSError
            If the system refuses.
        """
        folders = self._run_folders()
        with ExitStack() as locks:
            _allow_open_files(len(folders) + _OTHER_FILES)
            for folder in {self.folder, *folders}:
                locks.enter_context(locked_at_once(folder))
            if self.folder.resolve() != self.folder or _state(folders) != self.state:
                raise ValueError("it has changed meanwhile")
            self._refuse_what_is_foreign()
            for folder in folders:
                (folder / RUN).unlink(missing_ok=True)
            # What makes it a sweep that can be found goes last: its runs, and of these the requests.
            for path in self.folder.iterdir() if self.is_sweep else ():
                if path not in folders and path.name != LOCK:
                    path.unlink()
            for folder in sorted(folders, key=lambda folder: (folder / REQUEST).exists()):
                remove(folder)
            if self.is_sweep:
                remove(self.folder)

    def _run_folders(self) -> list[Path]:
        return _inner_folders(self.folder) if self.is_sweep else [self.folder]

    def _refuse_what_is_foreign(self) -> None:
        baselines = paths.baselines().resolve()
        if baselines.is_relative_to(self.folder) or self.folder.is_relative_to(baselines):
            raise ValueError("it is among the baselines or around them")
        if self.is_sweep:
            inner = _inner_folders(self.folder)
            for path in self.folder.iterdir():
                known = _RUN_OF_A_SWEEP if path in inner else _FILE_OF_A_SWEEP
                if not known.fullmatch(path.name):
                    raise ValueError(f"{path.name} in it is not of a sweep")


def find_units(on_error: Callable[[Exception], None]) -> list[Unit]:
    """Group the runs in the reports folder into what goes as a whole, the newest first.

    ``on_error`` takes what there is to say of folders that cannot be read.
    """
    groups: dict[Path, list[Run]] = {}
    for run in find_runs(on_error=on_error):
        swept = _RUN_OF_A_SWEEP.fullmatch(run.folder.name)
        groups.setdefault(run.folder.parent if swept else run.folder, []).append(run)
    units = [_unit(folder, tuple(runs)) for folder, runs in groups.items()]
    return sorted(units, key=lambda unit: unit.date, reverse=True)


def _unit(folder: Path, runs: tuple[Run, ...]) -> Unit:
    return Unit(folder, runs, max(map(asked, runs)), _state(run.folder for run in runs))


def _state(folders: Iterable[Path]) -> _State:
    written = {folder: (_written(folder / REQUEST), _written(folder / RUN)) for folder in folders}
    return {folder: times for folder, times in written.items() if any(times)}


def _written(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def _inner_folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())


def _touched(folder: Path) -> float:
    """When a file of a run was last written; a removal that was cut off writes none."""
    return max(path.lstat().st_mtime for path in folder.iterdir() if not path.is_dir())


def _measured(folder: Path, runs: set[Path]) -> int:
    """Bytes on disk below a folder, all of which can be removed and in which no other runs are."""
    size = 0
    for place, _, files in os.walk(folder, onerror=_raise):
        if REQUEST in files and Path(place) not in runs:
            raise ValueError("another run is in it")
        if not os.access(place, os.R_OK | os.W_OK | os.X_OK):
            raise _not_permitted(place)
        size += sum(os.lstat(os.path.join(place, name)).st_blocks * BLOCK for name in (".", *files))
    return size


def _not_permitted(path: Path | str) -> PermissionError:
    return PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def _raise(error: OSError) -> None:
    raise error


def _allow_open_files(count: int) -> None:
    """Raise the process' own limit, as far as the system lets it, to that of a large sweep's locks."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count <= hard or hard == resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
