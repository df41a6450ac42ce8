"""``run_key``: what the outcome of a run depends on, as one short name; equal keys need no second run."""

import hashlib
import importlib
import json
import sys
from collections.abc import Iterator
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from workbench import paths
from workbench.report.prepare import Request
from workbench.report.versions import versions

_PACKAGES = ("workbench", "torch", "numpy", "plotly")
# How runs are started and drawn does not change their figures.
_NO_INFLUENCE = ("report", "doctor", "starter", "cli.py")
_CHEAP = 100 * 2**20  # bytes; of a larger file the size and the time of its last change must do


def run_key(request: Request, notebook: str) -> str:
    """Return the name of everything that a run depends on.

    Parameters
    ----------
    request : Request
        Its parameters count; limits and threads do not.
    notebook : str
        The notebook's file; code and tags of its cells count, text does not.

    Returns
    -------
    str
        16 hexadecimal digits of SHA-256 over: code cells, parameters, the source of Workbench (without the
        command line and the report runner), the data it ships, the versions of Workbench, torch, NumPy and
        plotly, the source of a problem factory, and the content of each file that a parameter names.
    """
    cells = json.loads(notebook)["cells"]
    installed = versions()
    return digest(
        {
            "cells": [
                ["".join(cell["source"]), sorted(cell.get("metadata", {}).get("tags", []))]
                for cell in cells
                if cell["cell_type"] == "code"
            ],
            "parameters": request.parameters,
            "files": {text: _content(text) for text in sorted(_texts(request.parameters))},
            "versions": {name: installed[name] for name in _PACKAGES},
            "source": _source(),
        }
    )


def digest(content: Any) -> str:
    """Return 16 hexadecimal digits for a JSON value, the same whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)


def _content(text: str) -> str | None:
    """Hash what a text parameter names: a file, or the source of a factory; None if it names neither."""
    place, colon, _ = text.rpartition(":")
    for name in (text, place) if colon else (text,):
        if (file := _file(name)) is not None:
            return _hash(file)
    if colon and all(part.isidentifier() for part in place.split(".")):
        return _module(place.split(".")[0])
    return None


def _file(name: str) -> Path | None:
    try:
        path = Path(name).expanduser()
        return path if path.is_file() else None
    except (OSError, ValueError, RuntimeError):  # no text that could be a path
        return None


def _hash(file: Path) -> str:
    status = file.stat()
    if status.st_size > _CHEAP:
        return f"{status.st_size} bytes of {status.st_mtime_ns}"
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _module(top: str) -> str | None:
    """Hash the source of a top-level module or package; the working directory is looked into first."""
    importlib.invalidate_caches()
    found = PathFinder.find_spec(top, [str(Path.cwd()), *sys.path])
    if found is None or found.origin is None:
        return None
    file = Path(found.origin)
    return digest(_tree(file.parent, "*.py")) if file.name == "__init__.py" else _hash(file)


@cache
def _source() -> dict[str, str]:
    code = {
        name: content
        for name, content in _tree(paths.PACKAGE, "*.py").items()
        if Path(name).parts[0] not in _NO_INFLUENCE
    }
    return {**code, **_tree(paths.data() / "text", "*")}


def _tree(folder: Path, pattern: str) -> dict[str, str]:
    """Hash the files below a folder, also below the links in it, by their path from there."""
    folders = [folder, *(path for path in folder.iterdir() if path.is_symlink() and path.is_dir())]
    files = (file for each in folders for file in sorted(each.rglob(pattern)) if file.is_file())
    return {str(file.relative_to(folder)): _hash(file) for file in files}
