"""The explorer of the batch size: predicted rates, rates that trainings survive, and a learner of them."""

from typing import Any

from workbench.explore.learner_view import LEARNER
from workbench.explore.predicted_rates_view import PREDICTED_RATES
from workbench.explore.present import Shown, present
from workbench.explore.stable_rates_view import STABLE_RATES
from workbench.explore.view import Results
from workbench.problem import Problem
from workbench.stability.batch_size import LearnerContest, PredictedRates, StableRates

VIEWS = (PREDICTED_RATES, STABLE_RATES, LEARNER)


def batch_size(
    problem: Problem,
    predicted: PredictedRates | None = None,
    stable: StableRates | None = None,
    contest: LearnerContest | None = None,
    **values: Any,
) -> Shown:
    """Explore the largest learning rates over the batch size, and a learner of rate and momentum.

    Parameters
    ----------
    problem : Problem
        What is analysed, and where trainings start.
    predicted, stable, contest : PredictedRates, StableRates and LearnerContest, optional
        What to show first; by default nothing until Run is pressed.
    **values
        Initial values of the controls, by the names in the notebook ``batch_size``.

    Returns
    -------
    Explorer, Tabs, Still or Stills
        A widget in a live session. While a report runs, figures without controls but the sliders; predicted
        rates are computed here if nothing is given.

    Raises
    ------
    ValueError
        If a value is unknown or out of its range.
    """
    results: dict[str, Results] = {}
    if predicted is not None:
        results[PREDICTED_RATES.title] = {"predicted": predicted}
    if stable is not None:
        results[STABLE_RATES.title] = {"stable": stable}
    if contest is not None:
        results[LEARNER.title] = {"contest": contest}
    return present(VIEWS, problem, values, results)
