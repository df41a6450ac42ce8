"""A cache of what is slow to make: one file per key, whole or not at all, made by one process at a time."""

import io
import os
import pickle
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm

from workbench import paths
from workbench.problems.cache_files import seal, unseal


def fetch(key: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what is cached under ``key``; if nothing is, ``make`` it and keep it.

    A damaged file is made again, with a warning. While one process makes a file, others that want it wait,
    then read it. Where the cache cannot be written, a warning says so and the value is returned all the same.

    Parameters
    ----------
    key : str
        Fit for a file name; it must determine the value.
    make : callable
        Returns a dictionary of tensors, numbers, strings, and lists and dictionaries of those. What it raises
        passes through, and nothing is kept.
    """
    try:
        path = paths.cache() / f"{key}.pt"
    except OSError as error:
        _warn(f"there is no cache, so {key} will not be kept: {error}")
        return make()
    with _one_at_a_time(path):
        value = _read(path)
        if value is None:
            value = make()
            _write(path, value)
    return value


def _read(path: Path) -> dict[str, Any] | None:
    """Read a file; None if it is not there or damaged."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        _warn(f"{path} cannot be read, so it is made again: {error}")
        return None
    payload = unseal(content)
    if payload is None:
        _warn(f"{path} is damaged ({len(content)} bytes that do not match their checksum); it is made again")
        return None
    try:
        return torch.load(io.BytesIO(payload), weights_only=True, map_location="cpu")
    except (pickle.UnpicklingError, RuntimeError) as error:
        _warn(f"{path} holds something else than a trained network, so it is made again: {error}")
        return None


def _write(path: Path, value: dict[str, Any]) -> None:
    """Write a file under another name first, so that it appears whole or not at all."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    partial = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        partial.write_bytes(seal(buffer.getvalue()))
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        _warn(f"{path} cannot be written, so it is not kept: {error}")


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    """Hold the lock of ``path``, waiting for another process or thread that does.

    The system releases the lock of a process that dies. Where there are no such locks (Windows, some network
    file systems, a folder that cannot be written) both make the file, and the last rename wins.
    """
    try:
        lock = path.with_suffix(".lock").open("w")
    except OSError:
        yield
        return
    with lock:
        if sys.platform != "win32":
            import fcntl

            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                tqdm.write(f"waiting for another process that makes {path.stem}", file=sys.stderr)
                fcntl.flock(lock, fcntl.LOCK_EX)
            except OSError:
                pass
        yield


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=3)
