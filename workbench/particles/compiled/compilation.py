"""``kernel``: numba's ``njit`` with the settings that all kernels share."""

from collections.abc import Callable
from contextlib import contextmanager
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
def _cache_of_workbench() -> Any:
    """Keep compiled code in Workbench's cache folder, unless the user has said where."""
    before = config.CACHE_DIR
    if not before:
        config.CACHE_DIR = str(paths.cache() / "numba")
    try:
        yield
    finally:
        config.CACHE_DIR = before
