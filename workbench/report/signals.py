"""Signals that stop a run: kept by the launcher until it looks, raised as an exception in the child."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_FROM_OUTSIDE = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LIMIT = signal.SIGALRM  # what the launcher sends when the run's time is over


class Stopped(KeyboardInterrupt):
    """The run is to stop; a KeyboardInterrupt, since asyncio lets only these pass through its loop."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


@contextmanager
def kept_signals() -> Iterator[list[int]]:
    """Collect signals in a list instead of dying of them; in a thread, where none arrive, do nothing."""
    kept: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield kept
        return
    # What is ignored, as SIGHUP under nohup, stays ignored.
    signals = [each for each in _FROM_OUTSIDE if signal.getsignal(each) != signal.SIG_IGN]
    before = {each: signal.signal(each, lambda signum, _: kept.append(signum)) for each in signals}
    try:
        yield kept
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def raise_when_stopped() -> None:
    """From now on, raise :class:`Stopped` in the main thread for each signal that stops a run."""
    for each in (*_FROM_OUTSIDE, LIMIT):
        signal.signal(each, _raise)


def ignore_stops() -> None:
    """From now on, ignore signals that stop a run: it has ended and is being written down."""
    for each in (*_FROM_OUTSIDE, LIMIT):
        signal.signal(each, signal.SIG_IGN)


def _raise(signum: int, frame: FrameType | None) -> None:
    raise Stopped(signum)
