"""``View``: what an analysis brings to the shell that all explorers share."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import ipywidgets as widgets
import plotly.graph_objects as go

from workbench.parameters import Parameter
from workbench.problem import Problem
from workbench.result import Result

Values = dict[str, Any]
Results = Mapping[str, Result]
Maker = Callable[[Parameter, Any, Any, Mapping[str, widgets.Widget]], widgets.Widget]


@dataclass(frozen=True)
class Cost:
    """What a computation is expected to take: seconds, and bytes beyond what is in use."""

    seconds: float
    bytes: float


@dataclass(frozen=True)
class View:
    """What is particular to one analysis.

    Attributes
    ----------
    title : str
        Heading of the explorer, and name of its tab where a notebook has several.
    notebook : str
        Name of the notebook whose parameters cell is the schema.
    help : str
        What the reader is looking at, as HTML.
    figure : callable
        ``figure() -> go.Figure``: all traces and axes, without data.
    compute : callable
        ``compute(problem, values) -> results by name``; an analysis that makes up its own data gets None for
        the problem. Long work reports to :mod:`workbench.progress`. A
        generator that yields results is shown as it goes, a few times a second at most, which is its own
        affair; its last are the result, and after Cancel they stay.
    draw : callable
        ``draw(figure, results)`` puts results into such a figure.
    code : callable
        ``code(values) -> str``: the calls that give the same results, from ``problem`` on.
    estimate : callable, optional
        ``estimate(problem, values) -> Cost``, quick; asked before each computation.
    extras : callable, optional
        ``extras(figure) -> widgets by name``: controls that change the figure without a computation.
    controls : tuple of str, optional
        Names of the parameters that get a control; by default all but ``problem``.
    makers : mapping of str to callable, optional
        For some of them a control that the view makes itself, ``maker(parameter, value, problem, controls)``
        with the controls before it, such as a list of what this problem has. A ValueError means that there
        is nothing to list, and gives the control that :func:`~.controls.make_control` makes.
    """

    title: str
    notebook: str
    help: str
    figure: Callable[[], go.Figure]
    compute: Callable[[Any, Values], Results | Iterator[Results]]
    draw: Callable[[go.Figure, Results], None]
    code: Callable[[Values], str]
    estimate: Callable[[Any, Values], Cost] | None = None
    extras: Callable[[go.FigureWidget], Mapping[str, widgets.Widget]] = lambda figure: {}
    controls: tuple[str, ...] | None = None
    makers: Mapping[str, Maker] = field(default_factory=dict)

    def results(self, problem: Problem | None, values: Values) -> Results:
        """Compute to the end, without showing what comes before it."""
        found = self.compute(problem, values)
        if not isinstance(found, Mapping):
            *_, found = found
        return found

    def chosen(self, values: Values) -> Values:
        """Those of the notebook's values that this view has a control for, in the order of its cell."""
        return {
            name: value
            for name, value in values.items()
            if name != "problem" and (self.controls is None or name in self.controls)
        }
