"""``nearest_ghosts``: the zeros of those samples of a problem that limit a step along a direction first."""

from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from workbench.choices import check_count
from workbench.problem import Problem
from workbench.stability.ghosts import Ghosts, zeros
from workbench.stability.problem_radius import read_direction
from workbench.stability.radii import logit_radius
from workbench.stability.slopes import logits_and_slopes

_AT_ONCE = 64  # rows whose exact radii are computed together


def nearest_ghosts(
    problem: Problem, direction: Any, samples: int = 20, count: int = 4, *, seed: int = 0
) -> Ghosts:
    """Find the complex zeros nearest to 0 of the samples that have the smallest exact radii.

    Parameters
    ----------
    problem : Problem
        Its loss is a cross entropy of logits, see :func:`~workbench.stability.logits_and_slopes`.
    direction : Optimizer, {"gradient", "random"}, Eigenpairs or Tensor (n,)
        As for :func:`~workbench.stability.taylor_radius`; made a unit vector, so that a zero's modulus is a
        distance in the space of the parameters.
    samples : int
        How many rows, the nearest first; fewer if fewer have logits that move.
    count : int
        Zeros of each, in the upper half plane.
    seed : int
        Of the random direction.

    Returns
    -------
    Ghosts
        Its ``step`` is the length of an optimizer's update, its ``rows`` are the places of the samples in the
        data.

    Raises
    ------
    ValueError
        If no logit moves along the direction, the direction or a number does not fit, or the loss has no
        logits.
    TypeError
        If the direction is none of these.

    Notes
    -----
    Cost: one forward-mode pass over the data, exact radii of the rows that may be among those chosen, and
    :func:`~workbench.stability.zeros` of those. Logits and slopes of all the data are held in memory.
    """
    check_count("samples", samples)
    vector, label, length = read_direction(problem, direction, seed)
    pairs = list(logits_and_slopes(problem, vector / length))
    logits, slopes = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    rows = _nearest_rows(logits, slopes, samples)
    if not len(rows):
        raise ValueError(f"no logit moves against another along the {label}: there are no ghosts")
    step = length if isinstance(direction, Optimizer) else None
    return zeros(logits[rows], slopes[rows], count, step=step).replace(rows=rows.cpu())


def _nearest_rows(logits: Tensor, slopes: Tensor, samples: int) -> Tensor:
    """Rows with the smallest exact radii, in their order; bounds say of the others that theirs are larger."""
    bounds = logit_radius(logits, slopes).radius
    radii = torch.full_like(bounds, torch.inf)
    place = min(samples, len(bounds))
    for rows in bounds.argsort().split(_AT_ONCE):
        if bounds[rows[0]] >= radii.kthvalue(place).values:
            break
        radii[rows] = logit_radius(logits[rows], slopes[rows], "exact").radius
    rows = radii.argsort(stable=True)[:place]
    return rows[radii[rows].isfinite()]
