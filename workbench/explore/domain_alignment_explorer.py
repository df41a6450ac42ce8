"""The explorer of domain alignment: noise of probes, trainings, transfer of heads, and layers."""

from typing import Any

from workbench.domains import DiagonalNoise, DomainContest, LayerAlignment, TransferBound
from workbench.explore.domain_contest_view import DOMAIN_CONTEST
from workbench.explore.layer_alignment_view import LAYER_ALIGNMENT, check_pairs
from workbench.explore.present import Shown, present
from workbench.explore.probe_noise_view import PROBE_NOISE
from workbench.explore.transfer_view import TRANSFER
from workbench.explore.view import Results
from workbench.problem import Problem

VIEWS = (PROBE_NOISE, DOMAIN_CONTEST, TRANSFER, LAYER_ALIGNMENT)


def domain_alignment(
    problem: Problem | None = None,
    noise: DiagonalNoise | None = None,
    contest: DomainContest | None = None,
    bound: TransferBound | None = None,
    alignment: LayerAlignment | None = None,
    **values: Any,
) -> Shown:
    """Explore what aligning environments does for one that was not seen, and what random probes do to it.

    Parameters
    ----------
    problem : Problem, optional
        Not looked at: the digits come along. The start page hands its problem to every explorer.
    noise, contest, bound, alignment : results of :mod:`workbench.domains`, optional
        What to show first; by default nothing until Run is pressed.
    **values
        Initial values of the controls, by the names in the notebook ``domain_alignment``.

    Returns
    -------
    Explorer, Tabs, Still or Stills
        A widget in a live session. While a report runs, figures without controls; the noise of probes is
        computed here if nothing is given.

    Raises
    ------
    ValueError
        If a value is unknown or out of its range, or an alignment has more than six pairs of data sets.
    """
    results: dict[str, Results] = {}
    if noise is not None:
        results[PROBE_NOISE.title] = {"noise": noise}
    if contest is not None:
        results[DOMAIN_CONTEST.title] = {"contest": contest}
    if bound is not None:
        results[TRANSFER.title] = {"bound": bound}
    if alignment is not None:
        check_pairs(alignment)
        results[LAYER_ALIGNMENT.title] = {"alignment": alignment}
    return present(VIEWS, None, values, results)
