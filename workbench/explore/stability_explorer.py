"""The explorer of stability: what a minimum allows, trainings to the edge, and one that is watched."""

from typing import Any

from workbench.explore.edge_view import EDGE
from workbench.explore.linear_stability_view import LINEAR_STABILITY
from workbench.explore.live_training_view import LIVE_TRAINING
from workbench.explore.present import Shown, present
from workbench.explore.view import Results
from workbench.problem import Problem
from workbench.stability import LinearStability
from workbench.stability.experiments import EdgeOfStability
from workbench.trace import Trace

VIEWS = (EDGE, LINEAR_STABILITY, LIVE_TRAINING)


def stability(
    problem: Problem,
    limits: LinearStability | None = None,
    edge: EdgeOfStability | None = None,
    trace: Trace | None = None,
    **values: Any,
) -> Shown:
    """Explore which learning rates a minimum allows, and how training meets the edge of stability.

    Parameters
    ----------
    problem : Problem
        What is analysed.
    limits, edge, trace : LinearStability, EdgeOfStability and Trace, optional
        What to show first; by default nothing until Run is pressed.
    **values
        Initial values of the controls, by the names in the notebook ``stability``.

    Returns
    -------
    Explorer, Tabs, Still or Stills
        A widget in a live session. While a report runs, figures without controls; the trainings are computed
        here if nothing is given.

    Raises
    ------
    ValueError
        If a value is unknown or out of its range.
    """
    results: dict[str, Results] = {}
    if limits is not None:
        results[LINEAR_STABILITY.title] = {"limits": limits}
    if edge is not None:
        results[EDGE.title] = {"edge": edge}
    if trace is not None:
        results[LIVE_TRAINING.title] = {"trace": trace}
    return present(VIEWS, problem, values, results)
