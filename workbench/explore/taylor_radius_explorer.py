"""The explorer of the Taylor radius: a ray with its polynomials, and the ghosts that limit them."""

from typing import Any

from workbench.explore.ghosts_view import GHOSTS
from workbench.explore.present import Shown, present
from workbench.explore.ray_view import RAY
from workbench.explore.view import Results
from workbench.problem import Problem
from workbench.stability import Ghosts, Ray

VIEWS = (RAY, GHOSTS)


def taylor_radius(
    problem: Problem, ray: Ray | None = None, ghosts: Ghosts | None = None, **values: Any
) -> Shown:
    """Explore how far along a direction the loss is its Taylor series, and which samples say so.

    Parameters
    ----------
    problem : Problem
        Its loss is a cross entropy of logits.
    ray, ghosts : Ray and Ghosts, optional
        What to show first; by default nothing until Run is pressed. Of a ray, polynomials to order 8 are
        drawn.
    **values
        Initial values of the controls, by the names in the notebook ``taylor_radius``.

    Returns
    -------
    Explorer, Tabs, Still or Stills
        A widget in a live session. While a report runs, figures without controls; the ray is computed here if
        nothing is given.

    Raises
    ------
    ValueError
        If a value is unknown or out of its range.
    """
    results: dict[str, Results] = {}
    if ray is not None:
        results[RAY.title] = {"ray": ray}
    if ghosts is not None:
        results[GHOSTS.title] = {"ghosts": ghosts}
    return present(VIEWS, problem, values, results)
