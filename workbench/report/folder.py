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
RUN = "run.json"
_LOCK = ".lock"
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
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != _LOCK:
            path.unlink()


@contextmanager
def locked(folder: Path, signals: Sequence[int] = ()) -> Iterator[int]:
    """Hold the folder's lock; yields its file descriptor, which a child that inherits it goes on holding.

    Waits while another process runs this folder.

    Raises
    ------
    InterruptedError
        If ``signals``, to which others may add, is not empty while this waits.
    """
    with (folder / _LOCK).open("w") as file:
        while not _taken(file.fileno()):
            if signals:
                raise InterruptedError(f"stopped while another process runs {folder}")
            time.sleep(_TICK)
        yield file.fileno()


def _taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
