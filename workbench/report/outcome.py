"""How a run ended: a status, an exit code and one line that says what went wrong."""

import signal
from dataclasses import dataclass

DRIFT = 1
BAD_INPUT = 2
CELL_RAISED = 3
KERNEL_DIED = 4
TIME_LIMIT = 5
INTERNAL = 70  # a fault of Workbench itself (EX_SOFTWARE of sysexits.h)


@dataclass(frozen=True)
class Outcome:
    """The end of a run.

    Attributes
    ----------
    status : str
        ``"ok"``, ``"failed"``, ``"kernel died"``, ``"time limit"``, ``"interrupted"`` or
        ``"internal error"``.
    exit_code : int
    error : str or None
        One line; None if all went well.
    """

    status: str
    exit_code: int
    error: str | None = None


OK = Outcome("ok", 0)


def cell_raised(cell: int, name: str, message: str) -> Outcome:
    """Outcome of a cell that raised the exception ``name``."""
    text = " ".join(message.split())
    text = text if len(text) <= 300 else f"{text[:300]}…"
    return Outcome("failed", CELL_RAISED, f"cell [{cell}] raised {name}" + (f": {text}" if text else ""))


def not_reached(cell: int) -> Outcome:
    """Outcome of a run that ended, without an error, before this cell completed."""
    return Outcome("failed", CELL_RAISED, f"the run ended before cell [{cell}] completed")


def kernel_died(cell: int | None) -> Outcome:
    """Outcome of a kernel that ended by itself or was killed."""
    if cell is None:
        return Outcome("kernel died", KERNEL_DIED, "the kernel did not start")
    return Outcome("kernel died", KERNEL_DIED, f"the kernel died in cell [{cell}] (out of memory?)")


def cell_limit(cell: int | None, seconds: int) -> Outcome:
    """Outcome of a cell that took longer than the limit for a cell."""
    return Outcome("time limit", TIME_LIMIT, f"cell [{cell}] took longer than its limit of {seconds} s")


def stopped(signum: int, cell: int | None, limit: int) -> Outcome:
    """Outcome of a run that was stopped by a signal; SIGALRM stands for the limit of the whole run."""
    place = "before the first cell" if cell is None else f"in cell [{cell}]"
    if signum == signal.SIGALRM:
        return Outcome("time limit", TIME_LIMIT, f"the run took longer than its limit of {limit} s, {place}")
    return Outcome("interrupted", 128 + signum, f"interrupted by {signal.Signals(signum).name} {place}")


def internal(message: str) -> Outcome:
    """Outcome of a fault of Workbench itself."""
    return Outcome("internal error", INTERNAL, message)
