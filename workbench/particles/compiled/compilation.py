"""``kernel``: numba's ``njit`` with the settings that all kernels share."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numba import njit
from numba.core import config as _config

from workbench import paths

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
        with _cache_of_workbench():
            return njit(nogil=True, cache=True, fastmath=_SUMS if sums else False, error_model="numpy")(
                function
            )

    return decorate


@contextmanager
def _cache_of_workbench() -> Iterator[None]:
    """Keep compiled code in Workbench's cache folder, unless the user has said where."""
    before = config.CACHE_DIR
    if not before:
        config.CACHE_DIR = str(paths.cache() / "numba" / _SOURCES)
    try:
        yield
    finally:
        config.CACHE_DIR = before


def _digest() -> str:
    """A word that changes with the kernels: numba looks at the file of a kernel, not at those it calls."""
    here = Path(__file__).parent
    files = [*sorted(here.glob("*.py")), here.parent / "noise.py"]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


_SOURCES = _digest()
