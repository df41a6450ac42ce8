"""``method_trails``: several methods on several problems, on equal evaluations."""

import warnings
from collections.abc import Callable, Sequence
from functools import partial

from workbench.choices import check_choice, check_count
from workbench.particles.attacks.data_profiles import Trail
from workbench.particles.attacks.rivals import gradient_ascent, nelder_mead
from workbench.particles.attacks.search_path import COUNTS
from workbench.particles.attacks.searches import direct_search
from workbench.particles.attacks.surrogates import Surrogate
from workbench.progress import progress


def _search(surrogate: Surrogate, evaluations: int, count: str, seed: int, attack: str | None) -> Trail:
    start = surrogate.evaluate(surrogate.start[None])
    barrier = "extreme" if start.violation[0] == 0 else "progressive"
    found = direct_search(surrogate, attack, barrier=barrier, evaluations=evaluations, count=count, seed=seed)
    if found.interrupted:
        raise KeyboardInterrupt
    return found.trail(count)


def _nelder_mead(surrogate: Surrogate, evaluations: int, count: str, seed: int) -> Trail:
    return nelder_mead(surrogate, evaluations)


def _gradient_ascent(surrogate: Surrogate, evaluations: int, count: str, seed: int) -> Trail:
    return gradient_ascent(surrogate, evaluations)


METHODS: dict[str, Callable[[Surrogate, int, str, int], Trail]] = {
    "hybrid (l2)": partial(_search, attack="l2"),
    "hybrid (fgsm)": partial(_search, attack="fgsm"),
    "hybrid (pgd)": partial(_search, attack="pgd"),
    "direct search": partial(_search, attack=None),
    "Nelder-Mead": _nelder_mead,
    "L-BFGS-B": _gradient_ascent,
}


def method_trails(
    surrogates: Sequence[Surrogate],
    methods: Sequence[str] = ("hybrid (l2)", "hybrid (fgsm)", "direct search", "Nelder-Mead", "L-BFGS-B"),
    *,
    units: int = 500,
    count: str = "opportunistic",
    seed: int = 0,
) -> dict[str, list[Trail]]:
    """Run methods on problems, each with ``units`` times dim + 1 evaluations; a gradient counts as 3.

    After Ctrl-C the problems that all methods are through with come back, with a warning that counts them.

    Parameters
    ----------
    surrogates : sequence of Surrogate
        A search goes behind a progressive barrier where the start is infeasible, else behind an extreme one.
    methods : sequence of str
        Names in ``METHODS``.
    units : int
        Budget in units of dim + 1.
    count : {"opportunistic", "batched"}
        How the searches count, see :func:`direct_search`; the rivals take one point at a time.
    seed : int
        Of the searches.

    Returns
    -------
    dict of str to list of Trail
        For :func:`data_profile`.

    Raises
    ------
    ValueError
        If a method is unknown or a number out of range.
    """
    for method in methods:
        check_choice("methods", method, tuple(METHODS))
    check_choice("count", count, COUNTS)
    check_count("units", units)
    trails: dict[str, list[Trail]] = {method: [] for method in methods}
    try:
        with progress("methods on problems", len(surrogates) * len(methods)) as advance:
            for surrogate in surrogates:
                budget = units * (surrogate.dim + 1)
                row = []
                for method in methods:
                    row.append(METHODS[method](surrogate, budget, count, seed))
                    advance(1, method)
                for method, trail in zip(methods, row, strict=True):
                    trails[method].append(trail)
    except KeyboardInterrupt:
        done = len(trails[methods[0]])
        if not done:
            raise
        warnings.warn(f"interrupted after {done} of {len(surrogates)} problems", stacklevel=2)
    return trails
