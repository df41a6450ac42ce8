"""The browsers: the user's, and the one of the tests."""

import shutil
import webbrowser
from collections.abc import Iterator

from workbench.doctor.finding import OK, WARNING, Finding

_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def check_browser() -> Iterator[Finding]:
    """Say what ``--open`` opens pages with, and which browser the tests drive."""
    try:
        opener = getattr(webbrowser.get(), "name", "the system's")
        yield Finding("browser", OK, f"--open takes {opener}")
    except webbrowser.Error:
        advice = "do without --open and `workbench lab --no-browser`; a report is one file, open it elsewhere"
        yield Finding("browser", WARNING, "none that --open could take", advice)
    found = next(filter(None, map(shutil.which, _CHROMIUM)), None)
    if found:
        yield Finding("chromium", OK, found)
    else:
        advice = "only the tests need it; on Debian: apt-get install chromium"
        yield Finding("chromium", WARNING, "not found: the tests in a browser are skipped", advice)
