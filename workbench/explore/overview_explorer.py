"""The explorer of an overview: optimizer, learning rate, batch size and budget, and what there is to say."""

from typing import Any

from workbench.explore.overview_view import OVERVIEW
from workbench.explore.present import Shown, present
from workbench.overview import Overview
from workbench.problem import Problem

VIEWS = (OVERVIEW,)


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
    Explorer or Still
        A widget in a live session. While a report runs, a figure without controls, computed here if nothing
        is given.

    Raises
    ------
    ValueError
        If a value is unknown or out of its range.
    """
    return present(VIEWS, problem, values, {} if found is None else {OVERVIEW.title: {"overview": found}})
