"""The explorer of linear attention: entropies over the norm of a query, and trainings of each kind."""

from typing import Any

from workbench.attention import AttentionContest, EntropyCurves
from workbench.explore.attention_contest_view import CONTEST
from workbench.explore.entropy_view import ENTROPY
from workbench.explore.present import Shown, present
from workbench.explore.view import Results
from workbench.problem import Problem

VIEWS = (ENTROPY, CONTEST)


def linear_attention(
    problem: Problem | None = None,
    curves: EntropyCurves | None = None,
    contest: AttentionContest | None = None,
    **values: Any,
) -> Shown:
    """Explore what linear attention knows of the norm of a query, and what it learns.

    Parameters
    ----------
    problem : Problem, optional
        Not looked at: queries and keys are drawn, and the networks are trained here. The start page hands its
        problem to every explorer.
    curves, contest : EntropyCurves and AttentionContest, optional
        What to show first; by default nothing until Run is pressed.
    **values
        Initial values of the controls, by the names in the notebook ``linear_attention``.

    Returns
    -------
    Explorer, Tabs, Still or Stills
        A widget in a live session. While a report runs, figures without controls; entropies are computed here
        if nothing is given.

    Raises
    ------
    ValueError
        If a value is unknown or out of its range.
    """
    results: dict[str, Results] = {}
    if curves is not None:
        results[ENTROPY.title] = {"curves": curves}
    if contest is not None:
        results[CONTEST.title] = {"contest": contest}
    return present(VIEWS, None, values, results)
