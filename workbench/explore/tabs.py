"""``Tabs``: several explorers of one notebook, one shown at a time."""

from collections.abc import Mapping, Sequence
from functools import cache

import ipywidgets as widgets

from workbench.explore.accessible import Accessible
from workbench.explore.shell import Explorer
from workbench.explore.twin import display_with_twin
from workbench.explore.view import Results, Values, View
from workbench.parameters import Notebook
from workbench.problem import Problem


class Tabs(widgets.VBox):
    """A row of buttons, one for each view, above the explorer of the one that is chosen.

    An explorer is made when its tab is first opened and then keeps what it shows.

    Parameters
    ----------
    views : sequence of View
        The first is shown first.
    schema : Notebook
        Whose parameters the controls are made from.
    problem : Problem or None
        What is analysed.
    values : dict
        Initial values of all parameters of the schema.
    results : mapping of str to results
        What to show first, by the titles of the views.

    Attributes
    ----------
    choice : widget
        The row of buttons; its value is the title of the view that is shown.
    """

    def __init__(
        self,
        views: Sequence[View],
        schema: Notebook,
        problem: Problem | None,
        values: Values,
        results: Mapping[str, Results],
    ) -> None:
        by_title = {view.title: view for view in views}

        @cache
        def explorer(title: str) -> Explorer:
            view = by_title[title]
            return Explorer(view, schema, problem, view.chosen(values), results.get(title))

        self._explorer = explorer
        self.choice = widgets.ToggleButtons(options=list(by_title), tooltips=[f"show: {t}" for t in by_title])
        self.choice.add_class("wb-tabs")
        self.choice.observe(lambda change: self.show(change["new"]), names="value")
        self._shown = explorer(self.choice.value)
        self._place = widgets.VBox([self._shown])
        super().__init__([self.choice, self._place, Accessible()])

    @property
    def shown(self) -> Explorer:
        """The explorer that is shown."""
        return self._shown

    def show(self, title: str) -> Explorer:
        """Show the explorer of this view, and return it."""
        self.choice.value = title
        if self._shown is not self._explorer(title):
            self._shown.rest()
            self._shown = self._explorer(title)
            self._shown.resume()
            self._place.children = (self._shown,)
        return self._shown

    def _ipython_display_(self) -> None:
        display_with_twin(self, self.shown.results)
