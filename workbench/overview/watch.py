"""``Watch``: keeps measurements to their time, and what fails from taking the rest with it."""

import sys
import time
import warnings
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar

from workbench.progress import Advance, listening

T = TypeVar("T")


class Watch:
    """Runs the measurements of one section.

    A measurement that raises is left out, with the first line of what it said and the function that said it,
    which a user may call with other arguments: a section says what it can. A
    measurement whose time is up is stopped as by Ctrl-C, which every analysis answers with what it has.

    Parameters
    ----------
    title : str
        Of the section, for the progress bar.
    ends : float
        On the clock of ``time.monotonic``.
    advance : Advance
        Of the progress bar.
    """

    def __init__(self, title: str, ends: float, advance: Advance) -> None:
        self._title, self._ends, self._advance = title, ends, advance
        self._started = time.monotonic()
        self._expired = False
        self.done = 0
        """Steps that the last measurement said it had done."""
        self.left_out: list[str] = []
        self.interrupted = False
        self.stopped = False
        """Whether the user interrupted the work."""

    def __enter__(self) -> Self:
        self._listening = listening(self._listen)
        self._listening.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.__exit__(kind, error, trace)

    @property
    def seconds(self) -> float:
        """So far."""
        return time.monotonic() - self._started

    def measure(self, what: str, work: Callable[..., T], *args: Any, **options: Any) -> T | None:
        """Return the result, or None if there is none, with the reason in ``left_out``."""
        if self.stopped:
            self.left_out.append(f"{what}: interrupted")
            return None
        if time.monotonic() > self._ends:
            self._leave_out(what, "the time was up")
            return None
        self.done = 0
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # what did not converge says so in its result
                result = work(*args, **options)
        except KeyboardInterrupt:
            self.stopped = not self._expired
            self._leave_out(what, "interrupted" if self.stopped else "the time was up")
            return None
        except Exception as error:  # whatever a model of the user's may raise: the page shows the rest
            self.skip(what, _first_line(error) + _said_by(work))
            return None
        if getattr(result, "interrupted", False):
            self.interrupted = True
            self.stopped = not (self._expired or getattr(result, "out_of_budget", False))
        return result

    def skip(self, what: str, reason: str) -> None:
        """Leave something out."""
        self.left_out.append(f"{what}: {reason}")

    def _leave_out(self, what: str, reason: str) -> None:
        self.interrupted = True
        self.skip(what, reason)

    def _listen(self, description: str, done: int, total: int | None) -> None:
        self.done = done
        self._advance(0, f"{self._title}: {description}")
        if time.monotonic() > self._ends:
            self._expired = True
            raise KeyboardInterrupt


def _said_by(work: Callable[..., Any]) -> str:
    """Which public function an error is of: the arguments that it names are not those of ``analyze``."""
    package = ".".join(work.__module__.split(".")[:2])
    if getattr(sys.modules.get(package), getattr(work, "__name__", ""), None) is not work:
        return ""
    return f" (said by {package.replace('workbench', 'wb', 1)}.{work.__name__})"


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
