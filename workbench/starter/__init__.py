"""``init``: a problem file to start from."""

import shlex
from pathlib import Path

TEMPLATE = Path(__file__).with_name("my_problem.py")


def write_starter(file: Path) -> None:
    """Write a commented problem file with a factory ``make``.

    Parameters
    ----------
    file : Path
        Where to; it must end in ``.py`` and not exist.

    Raises
    ------
    ValueError
        If there is something of that name, its name does not end in ``.py``, or it cannot be written.
    """
    if file.suffix != ".py":
        raise ValueError(f"{file} is not the name of a Python file: it must end in .py")
    text = TEMPLATE.read_text(encoding="utf-8").replace(f"{TEMPLATE.name}:make", f"{file.name}:make")
    try:
        opened = file.open("x", encoding="utf-8")
    except FileExistsError as error:
        raise ValueError(f"{file} exists and is not overwritten; name another file") from error
    except OSError as error:
        raise ValueError(f"cannot write {file}: {error.strerror}") from error
    try:
        with opened:
            opened.write(text)
    except OSError as error:  # a full disk
        file.unlink()
        raise ValueError(f"cannot write {file}: {error.strerror}") from error


def next_command(file: Path) -> str:
    """Return the command that makes a report of the factory in ``file``, quoted for a shell."""
    return shlex.join(["workbench", "report", "curvature", "-p", "problem", f"{file}:make", "--open"])
