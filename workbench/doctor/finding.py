"""A line of what the doctor found."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

OK = "ok"
WARNING = "warning"
PROBLEM = "problem"

Check = Callable[[], Iterable["Finding"]]


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes
    ----------
    check : str
        What was looked at.
    state : str
        ``"ok"``, ``"warning"`` if something works less well than it could, ``"problem"`` if it does not work.
    value : str
        What was found.
    advice : str
        What to do; empty if all is well.
    """

    check: str
    state: str
    value: str
    advice: str = ""


def findings(name: str, check: Check) -> list[Finding]:
    """Return what a check finds; one that fails itself is a problem, and what it found before is kept."""
    found: list[Finding] = []
    try:
        found.extend(check())
    except Exception as error:  # whatever it is: the other checks go on
        message = " ".join(f"{type(error).__name__}: {error}".split())
        advice = "the check itself failed; report this with the whole table"
        found.append(Finding(name, PROBLEM, message, advice))
    return found
