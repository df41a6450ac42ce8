"""The explorer of planted directions: chains with their average, and phases over dimensions."""

from typing import Any

from workbench.explore.chains_view import CHAINS
from workbench.explore.phases_view import PHASES
from workbench.explore.present import Shown, present
from workbench.explore.view import Results
from workbench.particles import ChainRun, PhaseDiagram
from workbench.problem import Problem

VIEWS = (CHAINS, PHASES)


def langevin(
    problem: Problem | None = None,
    chains: ChainRun | None = None,
    phases: PhaseDiagram | None = None,
    **values: Any,
) -> Shown:
    """Explore what the average of a chain on the sphere knows of a planted direction.

    Parameters
    ----------
    problem : Problem, optional
        Not looked at: what is analysed is planted. The start page hands its problem to every explorer.
    chains, phases : ChainRun and PhaseDiagram, optional
        What to show first; by default nothing until Run is pressed.
    **values
        Initial values of the controls, by the names in the notebook ``langevin``.

    Returns
    -------
    Explorer, Tabs, Still or Stills
        A widget in a live session. While a report runs, figures without controls; chains are computed here if
        nothing is given.

    Raises
    ------
    ValueError
        If a value is unknown or out of its range.
    """
    results: dict[str, Results] = {}
    if chains is not None:
        results[CHAINS.title] = {"chains": chains}
    if phases is not None:
        results[PHASES.title] = {"phases": phases}
    return present(VIEWS, None, values, results)
