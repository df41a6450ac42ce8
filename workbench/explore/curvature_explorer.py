"""The explorer of curvature."""

from typing import Any

from workbench.curvature import Eigenpairs, SpectralDensity
from workbench.explore.present import Shown, present
from workbench.explore.spectrum_view import SPECTRUM
from workbench.explore.view import Results
from workbench.problem import Problem

VIEWS = (SPECTRUM,)


def curvature(
    problem: Problem,
    pairs: Eigenpairs | None = None,
    density: SpectralDensity | None = None,
    **values: Any,
) -> Shown:
    """Explore the curvature of a problem's loss.

    Parameters
    ----------
    problem : Problem
        What is analysed.
    pairs, density : Eigenpairs and SpectralDensity, optional
        What to show first; by default nothing until Run is pressed.
    **values
        Initial values of the controls, by the names in the notebook ``curvature``.

    Returns
    -------
    Explorer, Tabs, Still or Stills
        A widget in a live session. While a report runs, a figure without controls, computed here if
        ``pairs`` and ``density`` are not given.

    Raises
    ------
    ValueError
        If a value is unknown or out of its range.
    """
    results: dict[str, Results] = {}
    if pairs is not None and density is not None:
        results[SPECTRUM.title] = {"eigenpairs": pairs, "density": density}
    return present(VIEWS, problem, values, results)
