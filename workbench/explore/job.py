"""``Job``: a Run and a Cancel button, a progress bar and a status line for work in a thread.

The page stays alive meanwhile. Callbacks may come on the main thread or on a subshell's, so the state is
locked. What a thread prints never reaches the page, so every exception goes to the status line.
"""

import html
import threading
import time
import traceback
from collections.abc import Callable

import ipywidgets as widgets

from workbench.progress import listening

_REDRAW_SECONDS = 0.1

Work = Callable[[], str]


class Job(widgets.VBox):
    """Starts work, one at a time, shows how far it is, and lets it be cancelled.

    Parameters
    ----------
    label, tooltip : str
        Of the button that starts.
    prepare : callable
        ``prepare() -> work``: called at once when the button is pressed; a ValueError refuses. The work runs
        in a thread and returns what the status line says at its end. Its progress is shown; Cancel raises
        ``KeyboardInterrupt`` in it.
    """

    def __init__(self, label: str, tooltip: str, prepare: Callable[[], Work]) -> None:
        self._prepare = prepare
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._cancel = threading.Event()
        self.run_button = widgets.Button(description=label, button_style="primary", tooltip=tooltip)
        self.cancel_button = widgets.Button(description="Cancel", disabled=True, tooltip="stop this work")
        self.progress = widgets.IntProgress(layout={"width": "auto", "visibility": "hidden"})
        self.status = widgets.HTML()
        self.run_button.on_click(lambda _: self.run())
        self.cancel_button.on_click(lambda _: self._cancel.set())
        super().__init__([widgets.HBox([self.run_button, self.cancel_button]), self.progress, self.status])

    @property
    def cancelled(self) -> bool:
        """Whether Cancel was pressed since the work began."""
        return self._cancel.is_set()

    def run(self) -> None:
        """Start the work; refused with a message if some is under way or ``prepare`` refuses."""
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                self.say("A computation is under way: cancel it, or wait for its end.")
                return
            try:
                work = self._prepare()
            except ValueError as error:
                self.say(f"Not started: {error}", error=True)
                return
            self._cancel.clear()
            self._set_busy(True)
            self.say("Under way …")
            self._thread = threading.Thread(target=self._work, args=(work,), daemon=True)
            self._thread.start()

    def wait(self, timeout: float | None = None) -> None:
        """Wait for the work under way to end, for at most ``timeout`` seconds."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout)

    def say(self, text: str, *, error: bool = False, details: str = "") -> None:
        """Put one line on the status line, with details folded."""
        color = "color: var(--jp-error-color0, #b00020)" if error else ""
        fold = f"<details><summary>details</summary><pre>{html.escape(details)}</pre></details>"
        self.status.value = (
            f'<div class="wb-status" role="status" style="{color}">{html.escape(text)}</div>'
            + (fold if details else "")
        )

    def fail(self, error: Exception) -> None:
        """Say that something raised, from inside its handler."""
        lines = str(error).strip().splitlines()
        text = f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
        self.say(text, error=True, details=traceback.format_exc())

    def _work(self, work: Work) -> None:
        try:
            with listening(self._listener()):
                self.say(work())
        except KeyboardInterrupt:
            self.say("Cancelled; what was shown before still is.")
        except Exception as error:  # nothing a thread raises reaches the page by itself
            self.fail(error)
        finally:
            self._set_busy(False)

    def _listener(self) -> Callable[[str, int, int | None], None]:
        last = 0.0

        def listen(description: str, done: int, total: int | None) -> None:
            nonlocal last
            if self._cancel.is_set():
                raise KeyboardInterrupt
            now = time.monotonic()
            if now - last < _REDRAW_SECONDS:
                return
            last = now
            self.progress.max = total or 1
            self.progress.value = min(done, total) if total else 1
            self.progress.bar_style = "" if total else "info"
            self.say(f"{description}: {done}" + (f" of {total}" if total else "") + " …")

        return listen

    def _set_busy(self, busy: bool) -> None:
        self.progress.value = 0
        self.progress.layout.visibility = "visible" if busy else "hidden"
        self.run_button.disabled = busy
        self.cancel_button.disabled = not busy
