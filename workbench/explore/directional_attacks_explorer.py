"""The explorer of directional attacks: an image on its way to another class, and a planted maximum."""

from typing import Any

from workbench.explore.counterfactual_view import COUNTERFACTUAL
from workbench.explore.planted_view import PLANTED
from workbench.explore.present import Shown, present
from workbench.explore.view import Results
from workbench.particles.attacks import CounterfactualPath
from workbench.problem import Problem

VIEWS = (COUNTERFACTUAL, PLANTED)


def directional_attacks(problem: Problem, path: CounterfactualPath | None = None, **values: Any) -> Shown:
    """Explore what would have to change in an image for it to be of another class.

    Parameters
    ----------
    problem : Problem
        A classifier of images in [0, 1].
    path : CounterfactualPath, optional
        What to show first; by default nothing until Run is pressed.
    **values
        Initial values of the controls, by the names in the notebook ``directional_attacks``.

    Returns
    -------
    Tabs or Still
        A widget in a live session; a figure without controls while a report runs.

    Raises
    ------
    ValueError
        If a value is unknown or out of its range.
    """
    results: dict[str, Results] = {} if path is None else {COUNTERFACTUAL.title: {"path": path}}
    return present(VIEWS, problem, values, results)
