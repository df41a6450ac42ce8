"""The explorer of an overview: optimizer, learning rate, batch size and budget, and what there is to say."""

from typing import Any

from workbench.explore.learning_rates_view import LEARNING_RATES
from workbench.explore.present import Shown, present
from workbench.explore.sections_view import SECTIONS
from workbench.overview import Overview
from workbench.problem import Problem

VIEWS = (LEARNING_RATES, SECTIONS)


def overview(problem: Problem, found: Overview | None = None, **values: Any) -> Shown:
    """Explore how a training problem stands.

    Parameters
    ----------
    problem : Problem
    found : Overview, optional
        What to show first; by default nothing until Run is pressed.
    **values
        Initial values of the controls, by the names in the notebook ``overview``.

    Returns
    -------
    Explorer, Tabs, Still or Stills
        A widget in a live session. While a report runs, figures without controls, computed here if nothing is
        given.

    Raises
    ------
    ValueError
        If a value is unknown or out of its range.
    """
    shown = {} if found is None else {view.title: {"overview": found} for view in VIEWS}
    return present(VIEWS, problem, values, shown)
