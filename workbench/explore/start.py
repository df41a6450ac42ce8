"""The start: choose a problem, see it, go to an analysis."""

import html
import time
from functools import partial

import ipywidgets as widgets
import pandas as pd

from workbench.explore.accessible import Accessible
from workbench.explore.analyses import ANALYSES
from workbench.explore.job import Job, Work
from workbench.explore.twin import display_with_twin
from workbench.problem import Problem
from workbench.problems import check_name, list_problems, load_problem
from workbench.recording import run_folder


def start(name: str = "digits-mlp") -> "Start | pd.DataFrame":
    """Choose a problem and go to an analysis.

    Parameters
    ----------
    name : str
        What to choose first: a built-in problem, ``module:factory`` or ``path/file.py:factory``.

    Returns
    -------
    Start or DataFrame
        A widget in a live session; while a report runs, the table of the problem's parameters.

    Raises
    ------
    ValueError
        If there is no such problem.
    """
    check_name(name)
    return parameter_table(load_problem(name)) if run_folder() is not None else Start(name)


def parameter_table(problem: Problem) -> pd.DataFrame:
    """Return one row per parameter: its name, shape, number of elements and root mean square."""
    values = problem.parameters()
    return pd.DataFrame(
        [
            {
                "parameter": part.name,
                "shape": " × ".join(map(str, part.shape)) or "scalar",
                "elements": part.stop - part.start,
                "root mean square": float(values[part.name].double().square().mean().sqrt()),
            }
            for part in problem.layout
        ]
    )


class Start(widgets.VBox):
    """A field for the problem, a button that loads it, and a button for each analysis of it.

    Attributes
    ----------
    problem : Problem or None
        What was loaded last.
    choice : widget
        The field; it offers the built-in problems and takes any other name.
    job : Job
        Loads.
    analyses : dict of str to widget
        The buttons.
    """

    def __init__(self, name: str) -> None:
        self.problem: Problem | None = None
        self.choice = widgets.Combobox(
            value=name,
            options=[card.name for card in list_problems()],
            description="problem",
            tooltip="a built-in problem, module:factory or path/file.py:factory",
            layout={"width": "auto", "max_width": "480px"},
        )
        self.job = Job("Load", "load the problem; a built-in one is trained at its first use", self._prepare)
        self.job.say("Choose a problem, or name a factory of your own, and press Load.")
        self.analyses = {name: self._button(name) for name in ANALYSES}
        self._summary, self._explorer = widgets.HTML(), widgets.VBox()
        super().__init__(
            [
                self.choice,
                self.job,
                self._summary,
                widgets.HBox([*self.analyses.values()], layout={"flex_flow": "row wrap"}),
                self._explorer,
                Accessible(),
            ]
        )
        self.add_class("wb-start")

    def _button(self, name: str) -> widgets.Button:
        button = widgets.Button(description=name, disabled=True, tooltip=f"explore: {name}")
        button.on_click(lambda _: self._open(name))
        return button

    def _prepare(self) -> Work:
        check_name(self.choice.value)
        return partial(self._load, self.choice.value)

    def _load(self, name: str) -> str:
        started = time.monotonic()
        problem = load_problem(name)
        table = parameter_table(problem).to_html(
            index=False, border=0, justify="left", float_format=lambda x: f"{x:.3g}"
        )
        self._summary.value = f"<p>{html.escape(repr(problem))}</p>{table}"
        self.problem, self._explorer.children = problem, ()
        for button in self.analyses.values():
            button.disabled = False
        return f"Loaded in {time.monotonic() - started:.1f} s. Choose what to explore."

    def _open(self, name: str) -> None:
        assert self.problem is not None
        self._explorer.children = (ANALYSES[name](self.problem),)

    def _ipython_display_(self) -> None:
        display_with_twin(self, None)
