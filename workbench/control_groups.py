"""What the control groups of this process (a container's limits) say, version 1 and 2."""

from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def numbers(name: str) -> list[int]:
    """Return the numbers in a file such as ``"memory.max"``, of the own groups and those around them.

    What is not limited (``max``) is left out.
    """
    return [int(text) for text in texts(name) if text != "max"]


def texts(name: str) -> list[str]:
    """Return the first lines of a file of the own groups and those around them."""
    found = [_first_line(folder / name) for folder in _folders(name.split(".")[0])]
    return [text for text in found if text is not None]


def memory_left() -> list[int]:
    """Return how many bytes may still be taken in each group that has a limit, those around it included."""
    left = []
    for limit, taken in (
        ("memory.max", "memory.current"),  # version 2, then 1
        ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        for folder in _folders("memory"):
            most, now = _first_line(folder / limit), _first_line(folder / taken)
            if most is not None and now is not None and most != "max":
                left.append(max(int(most) - int(now), 0))
    return left


def _folders(controller: str) -> Iterator[Path]:
    """Folders of this process' groups and those around them that this controller governs."""
    try:
        lines = _MEMBERSHIP.read_text().splitlines()
    except OSError:  # another system
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = _ROOT / controllers
        own = root / path.lstrip("/")
        yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(root))


def _first_line(file: Path) -> str | None:
    try:
        return next(iter(file.read_text().splitlines()), None)
    except OSError:  # a group without this limit
        return None
