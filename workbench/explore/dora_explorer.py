"""The explorer of DoRA: its gain near 1, the cost of its norm, and trainings with their curvature."""

from typing import Any

from workbench.adaptation import AdaptationContest, AdaptationCurvature, GainErrors, NormCosts
from workbench.explore.adaptation_curvature_view import ADAPTATION_CURVATURE
from workbench.explore.adaptation_view import ADAPTATION
from workbench.explore.gain_view import GAIN
from workbench.explore.norm_cost_view import NORM_COST
from workbench.explore.present import Shown, present
from workbench.explore.view import Results
from workbench.problem import Problem

VIEWS = (GAIN, NORM_COST, ADAPTATION, ADAPTATION_CURVATURE)


def dora(
    problem: Problem | None = None,
    gains: GainErrors | None = None,
    costs: NormCosts | None = None,
    contest: AdaptationContest | None = None,
    curvature: AdaptationCurvature | None = None,
    **values: Any,
) -> Shown:
    """Explore what DoRA's gain keeps near 1, what its norm costs, and what training by it comes to.

    Parameters
    ----------
    problem : Problem, optional
        Not looked at: activations are drawn, and the networks are trained here. The start page hands its
        problem to every explorer.
    gains, costs, contest, curvature : results of :mod:`workbench.adaptation`, optional
        What to show first; by default nothing until Run is pressed.
    **values
        Initial values of the controls, by the names in the notebook ``dora``.

    Returns
    -------
    Explorer, Tabs, Still or Stills
        A widget in a live session. While a report runs, figures without controls; errors of the gain are
        computed here if nothing is given.

    Raises
    ------
    ValueError
        If a value is unknown or out of its range.
    """
    results: dict[str, Results] = {}
    if gains is not None:
        results[GAIN.title] = {"gains": gains}
    if costs is not None:
        results[NORM_COST.title] = {"costs": costs}
    if contest is not None:
        results[ADAPTATION.title] = {"contest": contest}
    if curvature is not None:
        results[ADAPTATION_CURVATURE.title] = {"curvature": curvature}
    return present(VIEWS, None, values, results)
