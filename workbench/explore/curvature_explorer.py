"""The explorer of curvature."""

from typing import Any

from workbench.curvature import (
    ClassOutliers,
    Eigenpairs,
    LayerCurvature,
    LossSlice,
    SpectralDensity,
    Trajectory,
)
from workbench.explore.classes_view import CLASSES
from workbench.explore.layers_view import LAYERS
from workbench.explore.present import Shown, present
from workbench.explore.slice_view import LOSS_SLICE
from workbench.explore.spectrum_view import SPECTRUM
from workbench.explore.training_view import TRAINING
from workbench.explore.view import Results
from workbench.problem import Problem

VIEWS = (SPECTRUM, LAYERS, CLASSES, LOSS_SLICE, TRAINING)


def curvature(
    problem: Problem,
    pairs: Eigenpairs | None = None,
    density: SpectralDensity | None = None,
    *,
    layers: LayerCurvature | None = None,
    classes: ClassOutliers | None = None,
    plane: LossSlice | None = None,
    trajectory: Trajectory | None = None,
    **values: Any,
) -> Shown:
    """Explore the curvature of a problem's loss.

    Parameters
    ----------
    problem : Problem
        What is analysed.
    pairs, density, layers, classes, plane, trajectory : results, optional
        What to show first in the tabs ``Spectrum`` (the first two together), ``Layers``, ``Classes``,
        ``Loss slice`` and ``Training``; by default nothing until Run is pressed.
    **values
        Initial values of the controls, by the names in the notebook ``curvature``.

    Returns
    -------
    Explorer, Tabs, Still or Stills
        A widget in a live session. While a report runs, figures without controls of the results given; that
        of the spectrum, computed here, if there are none.

    Raises
    ------
    ValueError
        If a value is unknown or out of its range.
    """
    results: dict[str, Results] = {}
    if pairs is not None and density is not None:
        results[SPECTRUM.title] = {"eigenpairs": pairs, "density": density}
    if layers is not None:
        results[LAYERS.title] = {"layers": layers}
    if classes is not None:
        results[CLASSES.title] = {"classes": classes}
    if plane is not None:
        results[LOSS_SLICE.title] = {"slice": plane}
    if trajectory is not None:
        results[TRAINING.title] = {"trajectory": trajectory}
    return present(VIEWS, problem, values, results)
