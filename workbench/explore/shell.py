"""The shell of an explorer: controls, Run, Cancel, progress, a status line and a figure.

Work runs in a thread, so that the page stays alive. Callbacks may come on the main thread or on a
subshell's, so the state is locked. What a thread prints never reaches the page, so every exception goes
to the status line.
"""

import html
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import ipywidgets as widgets
import plotly.graph_objects as go

from workbench.explore.controls import make_control
from workbench.explore.fit import FitFigures
from workbench.parameters import Notebook
from workbench.progress import listening

_REDRAW_SECONDS = 0.1


class Explorer(widgets.VBox):
    """A live view: set the controls, press Run, look at the figure.

    Parameters
    ----------
    title : str
        Heading.
    schema : Notebook
        Whose parameters the controls are made from.
    values : dict
        Initial values of the parameters to show, in the order of the controls.
    figure : go.FigureWidget
        With all its traces, which ``draw`` fills.
    compute : callable
        ``compute(values)`` does the work, in a thread, and returns a result; its progress is shown.
    draw : callable
        ``draw(figure, result)`` puts the result into the figure.
    extras : sequence of widgets
        Controls that need no new computation.

    Attributes
    ----------
    result : Any
        What ``compute`` returned last; None before.
    """

    def __init__(
        self,
        title: str,
        schema: Notebook,
        values: dict[str, Any],
        figure: go.FigureWidget,
        compute: Callable[[dict[str, Any]], Any],
        draw: Callable[[go.Figure, Any], None],
        extras: Sequence[widgets.Widget] = (),
    ) -> None:
        self.result: Any = None
        self._schema, self._compute, self._draw = schema, compute, draw
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._cancel = threading.Event()
        parameters = {parameter.name: parameter for parameter in schema.parameters}
        self.controls = {name: make_control(parameters[name], value) for name, value in values.items()}
        self.figure = figure
        figure._config = {**figure._config, "responsive": True}
        self.run_button = widgets.Button(
            description="Run", button_style="primary", tooltip="compute with these values"
        )
        self.cancel_button = widgets.Button(
            description="Cancel", disabled=True, tooltip="stop the computation"
        )
        self.progress = widgets.IntProgress(layout=widgets.Layout(width="100%", visibility="hidden"))
        self.status = widgets.HTML()
        self.run_button.on_click(lambda _: self.run())
        self.cancel_button.on_click(lambda _: self._cancel.set())
        self._set_status("Set the controls and press Run.")
        super().__init__([self._arrange(title, extras)])
        self.add_class("wb-explorer")

    def show(self, result: Any) -> None:
        """Draw a result."""
        with self.figure.batch_update():
            self._draw(self.figure, result)
        self.result = result

    def run(self) -> None:
        """Start the computation; refused with a message if one is under way or a value is not allowed."""
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                self._set_status("A computation is under way: cancel it, or wait for its end.")
                return
            try:
                values = self._schema.validate({name: c.value for name, c in self.controls.items()})
            except ValueError as error:
                self._set_status(f"Not started: {error}", error=True)
                return
            self._cancel.clear()
            self._set_busy(True)
            chosen = {name: values[name] for name in self.controls}
            self._thread = threading.Thread(target=self._work, args=(chosen,), daemon=True)
            self._thread.start()

    def wait(self, timeout: float | None = None) -> None:
        """Wait for the computation under way to end, for at most ``timeout`` seconds."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout)

    def _work(self, values: dict[str, Any]) -> None:
        started = time.monotonic()
        try:
            with listening(self._listener()):
                result = self._compute(values)
            self.show(result)
            self._set_status(f"Done in {time.monotonic() - started:.1f} s.")
        except KeyboardInterrupt:
            self._set_status("Cancelled; the figure shows the last result.")
        except Exception as error:  # nothing a thread raises reaches the page by itself
            self._set_status(_first_line(error), error=True, details=traceback.format_exc())
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
            self._set_status(f"{description}: {done}" + (f" of {total}" if total else "") + " …")

        return listen

    def _set_busy(self, busy: bool) -> None:
        self.progress.value = 0
        self.progress.layout.visibility = "visible" if busy else "hidden"
        self.run_button.disabled = busy
        self.cancel_button.disabled = not busy

    def _set_status(self, text: str, *, error: bool = False, details: str = "") -> None:
        color = "color: var(--jp-error-color0, #b00020)" if error else ""
        fold = f"<details><summary>details</summary><pre>{html.escape(details)}</pre></details>"
        self.status.value = (
            f'<div class="wb-status" role="status" style="{color}">{html.escape(text)}</div>'
            + (fold if details else "")
        )

    def _arrange(self, title: str, extras: Iterable[widgets.Widget]) -> widgets.Box:
        heading = widgets.HTML(f"<b>{html.escape(title)}</b>")
        buttons = widgets.HBox([self.run_button, self.cancel_button])
        side = widgets.VBox(
            [heading, *self.controls.values(), buttons, self.progress, self.status, *extras],
            layout=widgets.Layout(flex="1 1 280px", max_width="360px"),
        )
        main = widgets.VBox(
            [self.figure, FitFigures()], layout=widgets.Layout(flex="3 1 480px", min_width="0")
        )
        return widgets.Box([side, main], layout=widgets.Layout(display="flex", flex_flow="row wrap"))


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else 'no message'}"
