"""The explorer of smoothness: the radius of a problem, and methods that find theirs on the way."""

from typing import Any

from workbench.explore.descents_view import DESCENTS
from workbench.explore.present import Shown, present
from workbench.explore.smoothness_view import SMOOTHNESS
from workbench.explore.view import Results
from workbench.problem import Problem
from workbench.stability.smoothness import DescentContest, GradientSmoothness

VIEWS = (SMOOTHNESS, DESCENTS)


def smoothness(
    problem: Problem,
    measured: GradientSmoothness | None = None,
    contest: DescentContest | None = None,
    **values: Any,
) -> Shown:
    """Explore how far a matrix explains the gradient, and methods that live by it.

    Parameters
    ----------
    problem : Problem
        Measured where it stands, in float64. The methods have small problems of their own.
    measured, contest : GradientSmoothness and DescentContest, optional
        What to show first; by default nothing until Run is pressed. Of a contest, the first problem is drawn.
    **values
        Initial values of the controls, by the names in the notebook ``smoothness``.

    Returns
    -------
    Explorer, Tabs, Still or Stills
        A widget in a live session. While a report runs, figures without controls; the radius is computed here
        if nothing is given.

    Raises
    ------
    ValueError
        If a value is unknown or out of its range.
    """
    results: dict[str, Results] = {}
    if measured is not None:
        results[SMOOTHNESS.title] = {"smoothness": measured}
    if contest is not None:
        results[DESCENTS.title] = {"contest": contest}
    return present(VIEWS, problem, values, results)
