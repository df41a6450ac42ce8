"""Progress of long work: a bar by default, or whatever an explorer puts in its place.

Analyses call :func:`progress` and know nothing of widgets. A report run shows no bars: its runner prints a
line per cell.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from tqdm.auto import tqdm

from workbench.recording import run_folder

Listener = Callable[[str, int, int | None], None]

_LISTENER: ContextVar[Listener | None] = ContextVar("workbench_progress", default=None)
_TELL: ContextVar[Callable[[], object] | None] = ContextVar("workbench_progress_tell", default=None)


@contextmanager
def progress(description: str, total: int | None) -> Iterator[Callable[[int], object]]:
    """Yield a function to be called with the number of steps just done.

    ``total`` is None where the end is not known. The bar appears after a second and leaves with the work.
    """
    listener = _LISTENER.get()
    if listener is None:
        in_report = run_folder() is not None
        with tqdm(total=total, desc=description, delay=1, leave=False, disable=in_report) as bar:
            yield bar.update
        return
    done = 0

    def tell() -> None:
        listener(description, done, total)

    def advance(steps: int) -> None:
        nonlocal done
        done += steps
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
