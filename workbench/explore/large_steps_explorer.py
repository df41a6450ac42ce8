"""The explorer of large steps: single runs step by step, and all step sizes on all sets."""

from typing import Any

from workbench.explore.large_step_runs_view import LARGE_STEP_RUNS
from workbench.explore.present import Shown, present
from workbench.explore.step_sizes_view import STEP_SIZES
from workbench.explore.view import Results
from workbench.problem import Problem
from workbench.stability.large_steps import LargeStepRuns, StepSizeSweep

VIEWS = (LARGE_STEP_RUNS, STEP_SIZES)


def large_steps(
    problem: Problem | None = None,
    runs: LargeStepRuns | None = None,
    sweep: StepSizeSweep | None = None,
    **values: Any,
) -> Shown:
    """Explore logistic regression with steps of any size.

    Parameters
    ----------
    problem : Problem, optional
        Not looked at: the sets are drawn from handwritten digits. The start page hands its problem to every
        explorer.
    runs, sweep : LargeStepRuns and StepSizeSweep, optional
        What to show first; by default nothing until Run is pressed.
    **values
        Initial values of the controls, by the names in the notebook ``large_steps``.

    Returns
    -------
    Explorer, Tabs, Still or Stills
        A widget in a live session. While a report runs, figures without controls; runs are computed here if
        nothing is given.

    Raises
    ------
    ValueError
        If a value is unknown or out of its range.
    """
    results: dict[str, Results] = {}
    if runs is not None:
        results[LARGE_STEP_RUNS.title] = {"runs": runs}
    if sweep is not None:
        results[STEP_SIZES.title] = {"sweep": sweep}
    return present(VIEWS, None, values, results)
