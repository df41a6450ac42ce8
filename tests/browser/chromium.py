"""The system's Chromium or Chrome, without a window."""

import shutil

from playwright.sync_api import Browser, Playwright

FLAGS = [
    "--no-sandbox",  # containers and root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def launch(playwright: Playwright) -> Browser:
    """Start it.

    Raises
    ------
    FileNotFoundError
        If there is none on this machine, with what to do about it.
    """
    found = filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))
    executable = next(found, None)
    if executable is None:
        raise FileNotFoundError("no chromium or google-chrome on PATH; on Debian: apt-get install chromium")
    return playwright.chromium.launch(executable_path=executable, headless=True, args=FLAGS)
