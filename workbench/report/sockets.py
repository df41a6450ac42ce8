"""The sockets of kernels in the temporary folder, and what killed runs left of them."""

import os
import re
import socket
import stat
import tempfile
import time
from pathlib import Path

from workbench.report.folder import read_json

PREFIX = "wb-"  # short: the path of a socket has at most 107 characters
_FOLDER = re.compile(rf"{PREFIX}[a-z0-9_]{{8}}")  # what tempfile makes of it
_CONNECTION = "kernel.json"
_SOCKET = re.compile(r"kernel-ipc-\d+")
_OLD = 86400.0  # seconds


def dead_sockets() -> list[Path]:
    """Return the folders of sockets on which no kernel listens.

    Only those that are surely ours: of this user, a day old, with nothing in them but what a kernel makes.
    A run that was killed before its kernel started leaves an empty one.
    """
    parent = Path(tempfile.gettempdir())
    return [
        path for path in sorted(parent.iterdir()) if _FOLDER.fullmatch(path.name) and _is_left_behind(path)
    ]


def remove_sockets(folder: Path) -> None:
    """Remove the folder of a dead kernel's sockets.

    Raises
    ------
    ValueError
        If it is not one, or not any more.
    OSError
        If the system refuses.
    """
    if not _is_left_behind(folder):
        raise ValueError("it has changed meanwhile")
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def _is_left_behind(folder: Path) -> bool:
    try:
        status = folder.lstat()
        old = status.st_mtime < time.time() - _OLD
        if not (stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and old):
            return False
        entries = list(folder.iterdir())
        return all(_is_of_a_kernel(path) for path in entries) and not any(map(_is_listened_to, entries))
    except OSError:  # it went, or is not ours to look at
        return False


def _is_of_a_kernel(path: Path) -> bool:
    if path.name == _CONNECTION:
        return _is_connection(path)
    return bool(_SOCKET.fullmatch(path.name)) and stat.S_ISSOCK(path.lstat().st_mode)


def _is_connection(path: Path) -> bool:
    """Whether it says of a kernel that its sockets are beside it."""
    if not stat.S_ISREG(path.lstat().st_mode):
        return False
    try:
        content = read_json(path)
    except ValueError:
        return False
    return isinstance(content, dict) and content.get("ip") == str(path.with_name("kernel-ipc"))


def _is_listened_to(path: Path) -> bool:
    if path.name == _CONNECTION:
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return False
    return True
