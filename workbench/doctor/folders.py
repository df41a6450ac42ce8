"""The folders of reports and of the cache: space, whether they can be written, whether locks hold there."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from workbench import paths
from workbench.doctor.finding import OK, PROBLEM, WARNING, Finding
from workbench.problems.cache_files import cached_files, unseal

_LITTLE_SPACE, _NO_SPACE = 1e9, 0.05e9  # bytes: a report takes 3 MB, a long one with its results 50
_SHARED = ("nfs", "cifs", "smb", "lustre", "gpfs", "beegfs", "ceph", "fuse")


def check_reports() -> Iterator[Finding]:
    """Check the folder that reports are written to."""
    yield from _check_folder("reports", paths.reports(), "WORKBENCH_REPORTS")


def check_cache() -> Iterator[Finding]:
    """Check the folder of trained problems, and the files in it."""
    try:
        folder = paths.cache()
    except OSError as error:
        advice = "set WORKBENCH_CACHE to a folder that can be written; without it problems are trained anew"
        yield Finding("cache", PROBLEM, f"{error.filename}: {error.strerror}", advice)
        return
    yield from _check_folder("cache", folder, "WORKBENCH_CACHE")
    yield _files(folder)


def _check_folder(name: str, folder: Path, variable: str) -> Iterator[Finding]:
    # isdir: where one may not look is no folder, and the one above it says more.
    place = next(each for each in (folder, *folder.absolute().parents) if os.path.isdir(each))
    yield _space(name, folder, place)
    try:
        with tempfile.NamedTemporaryFile(prefix=".doctor-", dir=place) as file:
            held = _lock_holds(Path(file.name))
    except OSError as error:
        advice = f"set {variable} to a folder that can be written and locked"
        yield Finding(f"{name}: write, lock", PROBLEM, f"{place}: {error.strerror}", advice)
        return
    yield Finding(f"{name}: write", OK, "possible")
    if held:
        yield Finding(f"{name}: locks", OK, f"they hold on this machine{_between_machines(place)}")
    else:
        advice = f"sweeps need them: set {variable} to a folder on another disk"
        yield Finding(f"{name}: locks", PROBLEM, "flock does not hold", advice)


def _space(name: str, folder: Path, place: Path) -> Finding:
    free = shutil.disk_usage(place).free
    state = PROBLEM if free < _NO_SPACE else WARNING if free < _LITTLE_SPACE else OK
    advice = "" if state == OK else "`workbench clean` removes old runs, `workbench clean --caches` the cache"
    return Finding(name, state, f"{folder}, {free / 1e9:.1f} GB free", advice)


def _lock_holds(file: Path) -> bool:
    """Whether a second one is kept out."""
    with file.open() as first, file.open() as second:
        fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _between_machines(folder: Path) -> str:
    """Say of a file system that several machines may share that this one cannot know what holds there."""
    place = folder.resolve()
    mounts = {each.mountpoint: each.fstype for each in psutil.disk_partitions(all=True)}
    kind = next((mounts[str(each)] for each in (place, *place.parents) if str(each) in mounts), "")
    return f"; between machines ({kind}) see docs/sweeps.md" if kind.startswith(_SHARED) else ""


def _files(folder: Path) -> Finding:
    files = [file for group in cached_files(folder).values() for file in group if file.suffix == ".pt"]
    size = sum(file.stat().st_size for file in files)
    broken = [file.name for file in files if unseal(file.read_bytes()) is None]
    value = f"{len(files)} trained problems, {size / 1e6:.1f} MB"
    if not broken:
        return Finding("cache: files", OK, value)
    advice = "nothing: they are made again when they are used; `workbench clean --caches` removes all"
    return Finding("cache: files", WARNING, f"{value}; broken: {', '.join(broken)}", advice)
