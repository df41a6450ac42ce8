"""``kernel``: numba's ``njit`` with the settings that all kernels share."""

import hashlib
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from numba import njit
from numba.core import config as _config

from workbench import paths
from workbench.kernels import counter_normals

# Sums may be regrouped into lanes. A row is summed alike wherever it stands, so a run has the same bits.
_SUMS = {"reassoc", "nsz"}
config: Any = _config  # numba makes its settings at run time


def kernel(*, sums: bool = False) -> Callable[[Callable[..., Any]], Any]:
    """Decorate a kernel: compiled once a machine, runs without the interpreter's lock.

    Parameters
    ----------
    sums : bool
        Let the compiler regroup the sums of this function. Never for what has a bit-exact twin.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        with _cache_of_workbench() as kept:
            return njit(nogil=True, cache=kept, fastmath=_SUMS if sums else False, error_model="numpy")(
                function
            )

    return decorate


@contextmanager
def _cache_of_workbench() -> Iterator[bool]:
    """Keep compiled code in Workbench's cache folder, unless the user has said where; whether it is kept."""
    before = config.CACHE_DIR
    folder = before or _folder()
    config.CACHE_DIR = folder
    try:
        yield bool(folder)
    finally:
        config.CACHE_DIR = before


@cache
def _folder() -> str:
    """Where compiled code is kept; empty if nothing can be written there: it is compiled in every process."""
    try:
        folder = paths.cache() / "numba" / _SOURCES
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            return str(folder)
    except OSError as error:
        warnings.warn(
            f"compiled kernels cannot be kept ({error}): the first step will take a minute in every process; "
            "set WORKBENCH_CACHE or NUMBA_CACHE_DIR to a folder that can be written to",
            stacklevel=2,
        )
        return ""


def _digest() -> str:
    """A word that changes with the kernels: numba looks at the file of a kernel, not at those it calls."""
    here = Path(__file__).parent
    files = [*sorted(here.glob("*.py")), Path(counter_normals.__file__)]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


_SOURCES = _digest()
