"""The explorer of schedules: last iterates by step rule, and trainings by schedule."""

from typing import Any

from workbench.explore.last_iterates_view import LAST_ITERATES
from workbench.explore.present import Shown, present
from workbench.explore.schedule_contest_view import SCHEDULE_CONTEST
from workbench.explore.view import Results
from workbench.problem import Problem
from workbench.stability.experiments import ScheduleContest
from workbench.stability.last_iterates import SampledRuns

VIEWS = (LAST_ITERATES, SCHEDULE_CONTEST)


def schedules(
    problem: Problem | None = None,
    sampled: SampledRuns | None = None,
    contest: ScheduleContest | None = None,
    **values: Any,
) -> Shown:
    """Explore how good last iterates are by rule of the steps, and what schedules do for trainings.

    Parameters
    ----------
    problem : Problem, optional
        Not looked at: functions are made up, and the trainings have problems of their own. The start page
        hands its problem to every explorer.
    sampled, contest : SampledRuns and ScheduleContest, optional
        What to show first; by default nothing until Run is pressed.
    **values
        Initial values of the controls, by the names in the notebook ``schedules``.

    Returns
    -------
    Explorer, Tabs, Still or Stills
        A widget in a live session. While a report runs, figures without controls; last iterates are computed
        here if nothing is given.

    Raises
    ------
    ValueError
        If a value is unknown or out of its range.
    """
    results: dict[str, Results] = {}
    if sampled is not None:
        results[LAST_ITERATES.title] = {"sampled": sampled}
    if contest is not None:
        results[SCHEDULE_CONTEST.title] = {"contest": contest}
    return present(VIEWS, None, values, results)
