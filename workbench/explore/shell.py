"""The shell that all explorers share: controls, a job, a figure, help, the code, and saving."""

import html
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from workbench.explore.accessible import Accessible
from workbench.explore.code_fold import CodeFold
from workbench.explore.controls import make_control, read_control
from workbench.explore.fit import FitFigures
from workbench.explore.job import Job, Work
from workbench.explore.live_figure import LiveFigure
from workbench.explore.remembered import remembered, result_key
from workbench.explore.save import PICTURES, TABLES, save
from workbench.explore.twin import display_with_twin
from workbench.explore.view import Cost, Results, Values, View
from workbench.memory import free_bytes, show_bytes
from workbench.parameters import Notebook, Parameter
from workbench.problem import Problem

_ASK_SECONDS = 120  # a computation that would take longer, or more than half of the free memory, asks first


class Explorer(widgets.VBox):
    """A live view: set the controls, press Run, look at the figure.

    Parameters
    ----------
    view : View
        The analysis.
    schema : Notebook
        Whose parameters the controls are made from.
    problem : Problem or None
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
    job : Job
        Runs the computation.
    figure : LiveFigure
    extras : dict of str to widget
        Controls that need no computation.
    """

    def __init__(
        self,
        view: View,
        schema: Notebook,
        problem: Problem | None,
        values: Values,
        results: Results | None = None,
    ) -> None:
        self.results: Results | None = None
        self._view, self._schema, self._problem = view, schema, problem
        self._accepted: Values | None = None  # values whose cost was shown and which may be run
        parameters = {parameter.name: parameter for parameter in schema.parameters}
        self.controls: dict[str, widgets.Widget] = {}
        for name, value in values.items():
            self.controls[name] = self._make_control(parameters[name], value)
        self.job = Job("Run", "compute with these values", self._prepare)
        self.job.say("Set the controls and press Run.")
        self._place, self._extras_place = widgets.VBox(), widgets.VBox()
        self._make_figure({})
        self.save_button = widgets.Button(description="Save", tooltip="save into the current folder")
        self.save_button.on_click(lambda _: self.save())
        self._form = widgets.Dropdown(
            options=PICTURES + TABLES,
            description="as",
            layout={"width": "150px"},
            style={"description_width": "20px"},
        )
        self._code = CodeFold()
        for control in self.controls.values():
            control.observe(lambda _: self._show_code(), names="value")
        self._show_code()
        super().__init__([self._arrange(), Accessible()])
        self.add_class("wb-explorer")
        if results is not None:
            self.show(results)

    def show(self, results: Results) -> None:
        """Draw results."""
        self.results = results
        with self.figure.batch_update():
            self._view.draw(self.figure, results)

    def rest(self) -> None:
        """Give up the figure while the explorer is out of sight; work under way goes on, and is shown later.

        Each live figure brings plotly along, and a page that is loaded again waits for all of them: with
        four it gives up, and shows nothing.
        """
        place = (*self._place.children, *self._extras_place.children)
        self._place.children = self._extras_place.children = ()
        for widget in place:
            widget.close()

    def resume(self) -> None:
        """Make the figure anew after a rest, with the last results and the extras as they were."""
        if self.figure.comm is not None:  # it did not rest
            return
        self._make_figure({name: extra.value for name, extra in self.extras.items()})
        if self.results is not None:
            self.show(self.results)

    def save(self) -> None:
        """Save the picture or the tables that are shown, in the form chosen, in the current folder."""
        if self.results is None:
            self.job.say("There is nothing to save yet: press Run first.")
            return
        try:
            title = self._view.title.lower().replace(" ", "-")
            name = f"-{Path(self._problem.name).name}" if self._problem else ""
            stem = Path.cwd() / f"{title}{name}"
            paths = save(self.results, stem, self._form.value)
        except Exception as error:  # a full disk, a folder that is read-only: said, not lost in a callback
            self.job.fail(error)
            return
        self.job.say("Saved " + ", ".join(path.name for path in paths))

    def _make_control(self, parameter: Parameter, value: Any) -> widgets.Widget:
        """The view's own control, or the usual one, also where the view finds nothing to list."""
        maker = self._view.makers.get(parameter.name)
        if maker is not None:
            try:
                return maker(parameter, value, self._problem, self.controls)
            except ValueError:  # a problem that the analysis is not for: Run says why
                pass
        return make_control(parameter, value)

    def _make_figure(self, settings: Mapping[str, Any]) -> None:
        """Put an empty figure and its extras in their places, the extras set as given."""
        self.figure = LiveFigure(self._view.figure())
        self.extras = self._view.extras(self.figure)
        for name, value in settings.items():
            self.extras[name].value = value
        self._place.children = (self.figure, FitFigures())
        self._extras_place.children = tuple(self.extras.values())

    def _values(self) -> Values:
        values = self._schema.validate({name: read_control(each) for name, each in self.controls.items()})
        return {name: values[name] for name in self.controls}

    def _prepare(self) -> Work:
        return partial(self._work, self._values())

    def _work(self, values: Values) -> str:
        """Compute or recall, and show; returns what to say."""
        question = self._ask_first(values)
        if question is not None:
            return question
        started = time.monotonic()
        name = f"{self._view.notebook}/{self._view.title}"
        key = result_key(name, self._problem, values)
        results, known = remembered(key, partial(self._compute, values))
        self.show(results)
        return "Shown from memory." if known else f"Done in {time.monotonic() - started:.1f} s."

    def _ask_first(self, values: Values) -> str | None:
        """Say what a computation is expected to take; a question if that is much and was not accepted yet."""
        accepted, self._accepted = self._accepted == values, None
        if self._view.estimate is None or accepted:
            return None
        cost = self._view.estimate(self._problem, values)
        self.job.say(f"Expected to take {_words(cost)} …")
        if cost.seconds <= _ASK_SECONDS and cost.bytes <= free_bytes() / 2:
            return None
        self._accepted = values
        return f"This would take {_words(cost)}: press Run again to start it all the same."

    def _compute(self, values: Values) -> Results:
        found = self._view.compute(self._problem, values)
        results = found if isinstance(found, Mapping) else self._follow(found)
        if self.job.cancelled:  # an analysis may return what it had when it was stopped
            raise KeyboardInterrupt
        return results

    def _follow(self, stages: Iterator[Results]) -> Results:
        """Show each of the results that a computation yields as it goes; returns the last."""
        for results in stages:
            self.show(results)
        return results

    def _arrange(self) -> widgets.Box:
        name = self._problem.name if self._problem else "made-up data"
        heading = widgets.HTML(f"<b>{html.escape(self._view.title)}: {html.escape(name)}</b>")
        help_ = widgets.HTML(
            f'<details class="wb-fold"><summary>What am I looking at?</summary>{self._view.help}</details>'
        )
        asked = widgets.VBox([*self.controls.values()])
        asked.add_class("wb-asked")
        saving = widgets.HBox([self.save_button, self._form])
        side = widgets.VBox(
            [heading, asked, self.job, self._extras_place, saving],
            layout={"flex": "1 1 280px", "max_width": "360px"},
        )
        main = widgets.VBox(
            [self._frame(), help_, self._code], layout={"flex": "3 1 480px", "min_width": "0"}
        )
        return widgets.Box([side, main], layout={"display": "flex", "flex_flow": "row wrap"})

    def _frame(self) -> widgets.Box:
        """Where the figure stands; plots side by side keep a width that can be read, and scroll."""
        width = "560px" if "xaxis2" in self.figure.layout else "0"
        self._place.layout = widgets.Layout(flex="1", min_width=width)
        return widgets.Box([self._place], layout={"overflow": "auto hidden"})

    def _show_code(self) -> None:
        try:
            text = self._view.code(self._values())
        except ValueError as error:
            text = f"# {error}"
        self._code.text = text

    def _ipython_display_(self) -> None:
        display_with_twin(self, self.results)


def _words(cost: Cost) -> str:
    time_ = f"{cost.seconds:.0f} s" if cost.seconds < 120 else f"{cost.seconds / 60:.0f} min"
    memory = show_bytes(cost.bytes)
    return f"about {time_} and {memory}"
