"""The files of the cache: sealed with a digest, found by key, removed; no torch in here."""

import hashlib
import os
import re
from pathlib import Path

_DIGEST_SIZE = hashlib.sha256().digest_size
# The key of Recipe.key: the file, its lock, and what a killed process left half-written.
_NAME = re.compile(r"\.?(?P<key>[a-z0-9-]+-[0-9a-f]{20})\.(pt|lock|pt\.\d+\.\d+)")


def seal(payload: bytes) -> bytes:
    """Put the payload's digest in front of it."""
    return hashlib.sha256(payload).digest() + payload


def unseal(content: bytes) -> bytes | None:
    """Return the payload; None if it is not the one that was sealed."""
    digest, payload = content[:_DIGEST_SIZE], content[_DIGEST_SIZE:]
    return payload if hashlib.sha256(payload).digest() == digest else None


def cached_files(folder: Path) -> dict[str, list[Path]]:
    """Return the files of the cache in ``folder`` by their key; whatever else lies there is left out.

    Raises
    ------
    OSError
        If the folder cannot be read.
    """
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        name = _NAME.fullmatch(path.name)
        if name and path.is_file() and not path.is_symlink():
            found.setdefault(name["key"], []).append(path)
    return found


def forget(folder: Path, key: str) -> None:
    """Remove what is cached under a key.

    Raises
    ------
    BlockingIOError
        If a process is making it.
    OSError
        If the system refuses.
    """
    import fcntl

    lock = os.open(folder / f"{key}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for path in cached_files(folder)[key]:  # the lock is one of them
            path.unlink()
    except BlockingIOError:
        raise BlockingIOError("it is being made") from None
    finally:
        os.close(lock)
