"""A headless Chromium, and a JupyterLab to open in it.

Chromium is the system's (Debian: ``apt-get install chromium``); where there is none these tests are skipped.
"""

from collections.abc import Iterator

import pytest
from chromium import launch
from jupyterlab_driver import STEP_MILLISECONDS, Lab, running_lab
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect, sync_playwright

expect.set_options(timeout=STEP_MILLISECONDS)  # a busy machine is no failure


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Iterator[Browser]:
    try:
        started = launch(playwright)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    yield started
    started.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A fresh profile. The viewport is tall because JupyterLab draws only what is near it."""
    fresh = browser.new_context(viewport={"width": 1400, "height": 1500})
    yield fresh
    fresh.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


@pytest.fixture(scope="session")
def lab(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab of this interpreter; put notebooks into ``lab.root`` and open them by name."""
    with running_lab(tmp_path_factory.mktemp("lab")) as server:
        yield server
