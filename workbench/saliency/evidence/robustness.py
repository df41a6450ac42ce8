"""``max_sensitivity``: how far a map moves when its input moves a little."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from workbench.choices import check_count
from workbench.progress import progress
from workbench.random_vectors import filled_rows, generator
from workbench.saliency.evidence.budget import rows_at_once
from workbench.saliency.evidence.evidence_result import Evidence
from workbench.saliency.evidence.questions import fixed_targets, make_maps
from workbench.saliency.explainers import MapFunction


def max_sensitivity(
    model: nn.Module,
    inputs: Tensor,
    targets: Any,
    map_function: MapFunction,
    *,
    radius: float = 0.02,
    draws: int = 10,
    relative: bool = True,
    memory: int | str | None = None,
    seed: int = 0,
) -> Evidence:
    r"""Largest change of a map over draws of a small change of its input; lower is better.

    The change is :math:`\lVert\Phi(x+\delta)-\Phi(x)\rVert` for :math:`\lVert\delta\rVert_\infty \le r`. The
    maximum over finitely many draws is a lower bound of that over the ball. The target stays fixed.

    Parameters
    ----------
    model : nn.Module
        Returns logits (N, classes).
    inputs : Tensor (N, C, H, W)
        Inputs of the model.
    targets : Tensor (N,), int or None
        The class that is explained; None for the class predicted at the input itself.
    map_function : MapFunction
        Called (draws + 1) times on each input.
    radius : float
        Of the ball, in units of the inputs; every entry of δ is uniform in [-r, r].
    draws : int
        Perturbations of each input.
    relative : bool
        Divide by :math:`\lVert\Phi(x)\rVert`; undefined where that is 0.
    memory : int or str, optional
        Bound on a batch, see :func:`~.budget.rows_at_once`.
    seed : int
        Of the perturbations and of the bootstrap.

    Returns
    -------
    Evidence
        Undefined where a map is not finite. After an interrupt, for the samples that were done.

    Raises
    ------
    ValueError
        If a shape does not fit, or the radius or a count is not allowed.

    Notes
    -----
    Cost: (draws + 1) maps of each input.
    Source: Yeh et al., "On the (in)fidelity and sensitivity of explanations", NeurIPS 2019;
    divided by the norm of the map as in their released code.
    """
    check_count("draws", draws)
    if not 0 < radius < math.inf:
        raise ValueError(f"radius={radius!r} is not allowed: it must be positive and finite")
    classes = fixed_targets(model, inputs, targets)
    rows = rows_at_once(model, inputs, memory, backward=True)
    random = generator(seed)
    distances: list[Tensor] = []
    total = len(inputs) * draws
    originals = make_maps(map_function, model, inputs, classes, rows).double()
    try:
        with progress("max-sensitivity", total) as advance:
            for start in range(0, total, rows):
                samples = torch.arange(start, min(start + rows, total), device=inputs.device) // draws
                chosen = inputs[samples]
                steps = filled_rows(
                    chosen.shape, lambda row: row.uniform_(-1, 1, generator=random), chosen.dtype
                )
                moved = chosen + radius * steps.to(chosen.device)
                maps = make_maps(map_function, model, moved, classes[samples], rows).double()
                distances.append((maps - originals[samples]).flatten(1).norm(dim=1).cpu())
                advance(len(samples))
    except KeyboardInterrupt:
        if sum(map(len, distances)) < draws:
            raise
    found = torch.cat(distances)
    done = len(found) // draws
    worst = found[: done * draws].reshape(done, draws).amax(1)
    if relative:
        worst = worst / originals[:done].flatten(1).norm(dim=1).cpu()
    values = torch.where(worst.isfinite(), worst, math.nan).numpy()
    return Evidence(
        metric="max-sensitivity",
        values=values,
        better="lower",
        notes=(
            f"{'relative ' if relative else ''}change of the map, the largest of {draws} draws within "
            f"{radius:g}, which bounds the maximum from below; target fixed",
        ),
        maps_made=done * (draws + 1),
        seed=seed,
        interrupted=done < len(inputs),
    )
