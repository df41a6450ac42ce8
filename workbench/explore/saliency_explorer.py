"""The explorer of saliency: maps of a picture, methods by layers, evidence, and the characters of a text."""

from typing import Any

from workbench.explore.evidence_view import EVIDENCE
from workbench.explore.grid_view import GRID
from workbench.explore.maps_view import MAPS
from workbench.explore.present import Shown, present
from workbench.explore.tokens_view import TEXT
from workbench.explore.view import Results
from workbench.problem import Problem
from workbench.saliency import SaliencyMaps, TokenMaps
from workbench.saliency.evidence import EvidenceTable
from workbench.saliency.experiments import Cascade, ClassRanking, LayerStory

VIEWS = (MAPS, GRID, EVIDENCE, TEXT)


def saliency(
    problem: Problem,
    maps: SaliencyMaps | None = None,
    classes: ClassRanking | None = None,
    *,
    grid: SaliencyMaps | None = None,
    story: LayerStory | None = None,
    cascade: Cascade | None = None,
    evidence: EvidenceTable | None = None,
    characters: TokenMaps | None = None,
    **values: Any,
) -> Shown:
    """Explore where in a picture, or a text, a network has its reasons, and whether to believe it.

    Parameters
    ----------
    problem : Problem
        Its inputs are pictures, and its model returns logits (N, classes).
    maps, classes, grid, story, cascade, evidence, characters : results, optional
        What to show first in the tabs ``Maps`` (the first two together, the evidence beside them), ``Grid``
        (with the same classes), ``Evidence`` (three) and ``Text``; by default nothing until Run is pressed.
        Of several pictures the first is drawn.
    **values
        Initial values of the controls, by the names in the notebook ``saliency``.

    Returns
    -------
    Explorer, Tabs, Still or Stills
        A widget in a live session. While a report runs, figures without controls but the slider over the
        layers; the maps are computed here if nothing is given.

    Raises
    ------
    ValueError
        If a value is unknown or out of its range.
    """
    results: dict[str, Results] = {}
    if classes is not None:
        if maps is not None:
            beside = {} if evidence is None else {"evidence": evidence}
            results[MAPS.title] = {"maps": maps, "classes": classes, **beside}
        if grid is not None:
            results[GRID.title] = {"grid": grid, "classes": classes}
    if story is not None:
        given = {"story": story, "cascade": cascade, "evidence": evidence}
        results[EVIDENCE.title] = {name: result for name, result in given.items() if result is not None}
    if characters is not None:
        results[TEXT.title] = {"characters": characters}
    return present(VIEWS, problem, values, results)
