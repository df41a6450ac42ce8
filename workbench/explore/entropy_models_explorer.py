"""The explorer of entropy models: bits with noise and rounded, and pictures coded under each family."""

from typing import Any

from workbench.compression import EntropyContest, NoiseGap
from workbench.explore.entropy_contest_view import ENTROPY_CONTEST
from workbench.explore.noise_gap_view import GAP
from workbench.explore.present import Shown, present
from workbench.explore.view import Results
from workbench.problem import Problem

VIEWS = (GAP, ENTROPY_CONTEST)


def entropy_models(
    problem: Problem | None = None,
    gap: NoiseGap | None = None,
    contest: EntropyContest | None = None,
    **values: Any,
) -> Shown:
    """Explore what generalised Gaussians save, and what noise in place of rounding hides.

    Parameters
    ----------
    problem : Problem, optional
        Not looked at: the pictures come along. The start page hands its problem to every explorer.
    gap, contest : NoiseGap and EntropyContest, optional
        What to show first; by default nothing until Run is pressed.
    **values
        Initial values of the controls, by the names in the notebook ``entropy_models``.

    Returns
    -------
    Explorer, Tabs, Still or Stills
        A widget in a live session. While a report runs, figures without controls; gaps are computed here if
        nothing is given.

    Raises
    ------
    ValueError
        If a value is unknown or out of its range.
    """
    results: dict[str, Results] = {}
    if gap is not None:
        results[GAP.title] = {"gap": gap}
    if contest is not None:
        results[ENTROPY_CONTEST.title] = {"contest": contest}
    return present(VIEWS, None, values, results)
