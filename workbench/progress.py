"""Progress of long work: a bar by default, or whatever an explorer puts in its place.

Analyses call :func:`progress` and know nothing of widgets. A report run shows no bars: its runner prints a
line per cell.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from tqdm import tqdm

from workbench.recording import run_folder

Listener = Callable[[str, int, int | None], None]


class Advance(Protocol):
    """Called with the number of steps just done, and what else there is to say of them."""

    def __call__(self, steps: int, note: str = "") -> object: ...


_LISTENER: ContextVar[Listener | None] = ContextVar("workbench_progress", default=None)
_TELL: ContextVar[Callable[[], object] | None] = ContextVar("workbench_progress_tell", default=None)


@contextmanager
def progress(description: str, total: int | None) -> Iterator[Advance]:
    """Yield a function to be called with the number of steps just done.

    ``total`` is None where the end is not known. The bar appears after a second and leaves with the work.
    """
    listener = _LISTENER.get()
    if listener is None:
        with _bar(description, total) as bar:

            def move(steps: int, note: str = "") -> None:
                bar.set_postfix_str(note, refresh=False)
                bar.update(steps)

            yield move
        return
    done, latest = 0, description

    def tell() -> None:
        listener(latest, done, total)

    def advance(steps: int, note: str = "") -> None:
        nonlocal done, latest
        done, latest = done + steps, f"{description}, {note}" if note else description
        tell()

    tell()
    token = _TELL.set(tell)
    try:
        yield advance
    finally:
        _TELL.reset(token)


def still_at_work() -> None:
    """Tell the listener of this thread again how far the work is: within a long step, it may stop it here."""
    tell = _TELL.get()
    if tell is not None:
        tell()


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Send the progress of this thread's work to ``listener(description, done, total)`` instead of a bar.

    The listener may raise ``KeyboardInterrupt`` to stop the work, as Ctrl-C would.
    """
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def _bar(description: str, total: int | None) -> tqdm:
    make: type[tqdm] = tqdm
    if _in_notebook():
        from workbench.notebook_bar import NotebookBar

        make = NotebookBar
    return make(total=total, desc=description, delay=1, leave=False, disable=run_folder() is not None)


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")
