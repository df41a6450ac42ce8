"""The explorer of particles: a swarm on a landscape, its steps beside the gradient, and its successes."""

from typing import Any

from workbench.explore.consensus_steps_view import STEPS
from workbench.explore.present import Shown, present
from workbench.explore.success_view import SUCCESS
from workbench.explore.swarm_view import SWARM
from workbench.explore.view import Results
from workbench.particles import StepComparison
from workbench.particles.experiments import Crossing, SuccessTable
from workbench.problem import Problem

VIEWS = (SWARM, STEPS, SUCCESS)


def particles(
    problem: Problem,
    crossing: Crossing | None = None,
    comparison: StepComparison | None = None,
    table: SuccessTable | None = None,
    **values: Any,
) -> Shown:
    """Explore how swarms move, what their steps have to do with gradients, and when they succeed.

    Parameters
    ----------
    problem : Problem
        Whose loss slice may be the landscape.
    crossing, comparison, table : Crossing, StepComparison and SuccessTable, optional
        What to show first; by default nothing until Run is pressed.
    **values
        Initial values of the controls, by the names in the notebook ``particles``.

    Returns
    -------
    Explorer, Tabs, Still or Stills
        A widget in a live session. While a report runs, figures without controls; the swarm is computed here
        if nothing is given.

    Raises
    ------
    ValueError
        If a value is unknown or out of its range.
    """
    results: dict[str, Results] = {}
    if crossing is not None:
        results[SWARM.title] = {"crossing": crossing}
    if comparison is not None:
        results[STEPS.title] = {"comparison": comparison}
    if table is not None:
        results[SUCCESS.title] = {"table": table}
    return present(VIEWS, problem, values, results)
