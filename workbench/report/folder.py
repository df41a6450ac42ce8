"""The run folder: its files, written whole or not at all, and its lock."""

import fcntl
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NOTEBOOK = "notebook.ipynb"
PAGE = "report.html"
LOG = "log.txt"
REQUEST = "request.json"
RUN = "run.json"
LOCK = ".lock"
_TICK = 0.1  # seconds between two tries to take a lock


def new_folder(parent: Path) -> Path:
    """Make a run folder of its own in ``parent``, named by the time and a few random digits."""
    parent.mkdir(parents=True, exist_ok=True)
    while True:
        folder = parent / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file by rename, so that no reader ever sees a part of it; text in UTF-8."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_bytes(content.encode() if isinstance(content, str) else content)
    partial.replace(path)


def write_json(path: Path, content: Any) -> None:
    """Write standard JSON (no nan) by rename."""
    write_whole(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def clear(folder: Path) -> None:
    """Remove everything but the lock; ``run.json`` first, so that what is left never reads as finished."""
    (folder / RUN).unlink(missing_ok=True)
    for path in folder.iterdir():
        if path.name != LOCK:
            _delete(path)


def remove(folder: Path) -> None:
    """Remove a run folder whose lock is held, so that a kill half-way leaves nothing that is taken for good.

    ``run.json`` goes first and the request last: what is left in between is a run that broke off, which can
    be found and removed again. A link goes, not what it leads to.
    """
    (folder / RUN).unlink(missing_ok=True)
    for path in folder.iterdir():
        if path.name not in (REQUEST, LOCK):
            _delete(path)
    for name in (REQUEST, LOCK):
        (folder / name).unlink(missing_ok=True)
    folder.rmdir()


@contextmanager
def locked(folder: Path, signals: Sequence[int] = (), *, shared: bool = False) -> Iterator[int]:
    """Hold the folder's lock; yields its file descriptor, which a child that inherits it goes on holding.

    Waits while another process runs this folder. Those that ask for it ``shared`` hold it together.

    Raises
    ------
    InterruptedError
        If ``signals``, to which others may add, is not empty while this waits.
    """
    while (lock := _taken(folder, shared)) is None:
        if signals:
            raise InterruptedError(f"stopped while another process runs {folder}")
        time.sleep(_TICK)
    try:
        yield lock
    finally:
        os.close(lock)


@contextmanager
def locked_at_once(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, or refuse.

    Raises
    ------
    BlockingIOError
        If another process holds it.
    """
    lock = _taken(folder, shared=False)
    if lock is None:
        raise BlockingIOError(f"{folder} is locked by another process")
    try:
        yield
    finally:
        os.close(lock)


def _taken(folder: Path, shared: bool) -> int | None:
    """Open and take the lock; None while another holds it, or if it was removed in this very moment."""
    path = folder / LOCK
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    held = False
    try:
        fcntl.flock(lock, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        held = os.path.samestat(os.fstat(lock), path.lstat())  # else others lock a file that replaced it
    except (BlockingIOError, FileNotFoundError):
        pass
    finally:
        if not held:
            os.close(lock)
    return lock if held else None


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
