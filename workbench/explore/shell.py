"""The shell that all explorers share: controls, Run, Cancel, progress, status, figure, help, code, save.

Work runs in a thread, so that the page stays alive. Callbacks may come on the main thread or on a
subshell's, so the state is locked. What a thread prints never reaches the page, so every exception goes
to the status line.
"""

import html
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import ipywidgets as widgets
import plotly.graph_objects as go
import psutil
from IPython.display import HTML, display

from workbench.explore.controls import make_control
from workbench.explore.copy_button import CopyButton
from workbench.explore.fit import FitFigures
from workbench.explore.remembered import remembered, result_key
from workbench.explore.save import PICTURES, TABLES, save
from workbench.explore.twin import LIVE_CLASS, twin
from workbench.explore.view import Cost, Results, Values, View
from workbench.parameters import Notebook
from workbench.problem import Problem
from workbench.progress import listening

_REDRAW_SECONDS = 0.1
_ASK_SECONDS = 120  # a computation that would take longer, or more than half of the free memory, asks first


class Explorer(widgets.VBox):
    """A live view: set the controls, press Run, look at the figure.

    Parameters
    ----------
    view : View
        The analysis.
    schema : Notebook
        Whose parameters the controls are made from.
    problem : Problem
        What is analysed.
    values : dict
        Initial value of each control.
    results : mapping of str to Result, optional
        What to show first.

    Attributes
    ----------
    results : mapping of str to Result, or None
        What is shown.
    controls : dict of str to widget
    figure : go.FigureWidget
    """

    def __init__(
        self, view: View, schema: Notebook, problem: Problem, values: Values, results: Results | None = None
    ) -> None:
        self.results: Results | None = None
        self._view, self._schema, self._problem = view, schema, problem
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._cancel = threading.Event()
        self._accepted: Values | None = None  # values whose cost was shown and may be run
        parameters = {parameter.name: parameter for parameter in schema.parameters}
        self.controls = {name: make_control(parameters[name], value) for name, value in values.items()}
        self.figure = go.FigureWidget(view.figure())
        self.figure._config = {**self.figure._config, "responsive": True}
        self._make_buttons()
        self._set_status("Set the controls and press Run.")
        super().__init__([self._arrange()])
        self.add_class("wb-explorer")
        self.add_class(LIVE_CLASS)
        self._show_code()
        if results is not None:
            self.show(results)

    def show(self, results: Results) -> None:
        """Draw results."""
        with self.figure.batch_update():
            self._view.draw(self.figure, results)
        self.results = results

    def run(self) -> None:
        """Start the computation; refused with a message if one is under way or a value is not allowed."""
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                self._set_status("A computation is under way: cancel it, or wait for its end.")
                return
            try:
                values = self._values()
            except ValueError as error:
                self._set_status(f"Not started: {error}", error=True)
                return
            self._cancel.clear()
            self._set_busy(True)
            self._thread = threading.Thread(target=self._work, args=(values,), daemon=True)
            self._thread.start()

    def wait(self, timeout: float | None = None) -> None:
        """Wait for the computation under way to end, for at most ``timeout`` seconds."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout)

    def save(self) -> None:
        """Save the picture or the tables that are shown, in the form chosen, in the current folder."""
        if self.results is None:
            self._set_status("There is nothing to save yet: press Run first.")
            return
        try:
            stem = Path.cwd() / f"{self._view.notebook}-{Path(self._problem.name).name}"
            paths = save(self.results, stem, self._form.value)
        except (
            Exception
        ) as error:  # a full disk, a folder that is read-only: said, not raised into a callback
            self._set_status(_first_line(error), error=True, details=traceback.format_exc())
            return
        self._set_status("Saved " + ", ".join(path.name for path in paths))

    def _values(self) -> Values:
        values = self._schema.validate({name: control.value for name, control in self.controls.items()})
        return {name: values[name] for name in self.controls}

    # ---- in the thread --------------------------------------------------------------------------------

    def _work(self, values: Values) -> None:
        started = time.monotonic()
        try:
            with listening(self._listener()):
                key = result_key(self._view.notebook, self._problem, values)
                results, known = remembered(key, lambda: self._compute(values))
            self.show(results)
            seconds = time.monotonic() - started
            self._set_status("Shown from memory." if known else f"Done in {seconds:.1f} s.")
        except _AskFirstError as question:
            self._set_status(str(question))
        except KeyboardInterrupt:
            self._set_status("Cancelled; the figure shows the last result.")
        except Exception as error:  # nothing a thread raises reaches the page by itself
            self._set_status(_first_line(error), error=True, details=traceback.format_exc())
        finally:
            self._set_busy(False)

    def _compute(self, values: Values) -> Results:
        if self._view.estimate is not None and values != self._accepted:
            cost = self._view.estimate(self._problem, values)
            self._set_status(f"Expected to take {_words(cost)} …")
            if cost.seconds > _ASK_SECONDS or cost.bytes > psutil.virtual_memory().available / 2:
                self._accepted = values
                raise _AskFirstError(
                    f"This would take {_words(cost)}: press Run again to start it all the same."
                )
        self._accepted = None
        results = self._view.compute(self._problem, values)
        if self._cancel.is_set():  # an analysis may return what it had when it was stopped
            raise KeyboardInterrupt
        return results

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

    # ---- what is on the page --------------------------------------------------------------------------

    def _make_buttons(self) -> None:
        self.run_button = widgets.Button(
            description="Run", button_style="primary", tooltip="compute with these values"
        )
        self.cancel_button = widgets.Button(
            description="Cancel", disabled=True, tooltip="stop the computation"
        )
        self.save_button = widgets.Button(description="Save", tooltip="save into the current folder")
        self._form = widgets.Dropdown(
            options=PICTURES + TABLES,
            description="as",
            layout={"width": "150px"},
            style={"description_width": "20px"},
        )
        self.progress = widgets.IntProgress(layout={"width": "100%", "visibility": "hidden"})
        self.status = widgets.HTML()
        self._code = widgets.HTML()
        self._copy = CopyButton()
        self.run_button.on_click(lambda _: self.run())
        self.cancel_button.on_click(lambda _: self._cancel.set())
        self.save_button.on_click(lambda _: self.save())
        for control in self.controls.values():
            control.observe(lambda _: self._show_code(), names="value")

    def _arrange(self) -> widgets.Box:
        heading = widgets.HTML(f"<b>{html.escape(self._view.title)}: {html.escape(self._problem.name)}</b>")
        folds = widgets.Accordion(
            [widgets.HTML(self._view.help), widgets.VBox([self._code, self._copy])],
            titles=("What am I looking at?", "As code"),
            selected_index=None,
        )
        side = widgets.VBox(
            [
                heading,
                *self.controls.values(),
                widgets.HBox([self.run_button, self.cancel_button]),
                self.progress,
                self.status,
                *self._view.extras(self.figure),
                widgets.HBox([self.save_button, self._form]),
            ],
            layout={"flex": "1 1 280px", "max_width": "360px"},
        )
        main = widgets.VBox(
            [self.figure, FitFigures(), folds], layout={"flex": "3 1 480px", "min_width": "0"}
        )
        return widgets.Box([side, main], layout={"display": "flex", "flex_flow": "row wrap"})

    def _show_code(self) -> None:
        try:
            text = self._view.code(self._values())
        except ValueError as error:
            text = f"# {error}"
        self._copy.text = text
        self._code.value = f"<pre>{html.escape(text)}</pre>"

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

    def _ipython_display_(self) -> None:
        display(super()._repr_mimebundle_(), raw=True)
        display(HTML(twin(self.results)))


class _AskFirstError(Exception):
    """A computation that is large enough to be confirmed."""


def _words(cost: Cost) -> str:
    time_ = f"{cost.seconds:.0f} s" if cost.seconds < 120 else f"{cost.seconds / 60:.0f} min"
    memory = f"{cost.bytes / 1e6:.0f} MB" if cost.bytes < 1e9 else f"{cost.bytes / 1e9:.1f} GB"
    return f"about {time_} and {memory}"


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else 'no message'}"
