"""The explorer of batches' spectra."""

from typing import Any

from workbench.curvature import BatchDensities, BatchSpectra
from workbench.explore.batch_density_view import BATCH_DENSITY
from workbench.explore.batch_eigenvalues_view import BATCH_EIGENVALUES
from workbench.explore.present import Shown, present
from workbench.explore.view import Results
from workbench.problem import Problem

VIEWS = (BATCH_EIGENVALUES, BATCH_DENSITY)


def batch_hessian(
    problem: Problem,
    spectra: BatchSpectra | None = None,
    densities: BatchDensities | None = None,
    **values: Any,
) -> Shown:
    """Explore how the spectrum of a batch differs from that of all examples.

    Parameters
    ----------
    problem : Problem
        What is analysed.
    spectra, densities : BatchSpectra and BatchDensities, optional
        What to show first; by default nothing until Run is pressed.
    **values
        Initial values of the controls, by the names in the notebook ``batch_hessian``.

    Returns
    -------
    Explorer, Tabs, Still or Stills
        A widget in a live session. While a report runs, figures without controls but the slider; the
        eigenvalues are computed here if nothing is given.

    Raises
    ------
    ValueError
        If a value is unknown or out of its range.
    """
    results: dict[str, Results] = {}
    if spectra is not None:
        results[BATCH_EIGENVALUES.title] = {"spectra": spectra}
    if densities is not None:
        results[BATCH_DENSITY.title] = {"densities": densities}
    return present(VIEWS, problem, values, results)
