"""``energy_pointing``: how much of a map lies on the object."""

import math

from torch import Tensor

from workbench.saliency.evidence.evidence_result import Evidence, read_groups
from workbench.saliency.evidence.regions import Regions, region_masks


def energy_pointing(
    maps: Tensor, regions: Regions, classes: Tensor | None = None, *, seed: int = 0
) -> Evidence:
    """Share of the positive values of each map that lies on the object; higher is better.

    Undefined where nothing is positive, a value is not finite, or there is no object. The share of the object
    in the area, which a flat map gets, is in the notes.

    Parameters
    ----------
    maps : Tensor (N, H, W)
        Negative values count as 0.
    regions : boxes or masks
        See :func:`~.regions.region_masks`.
    classes : Tensor (N,), optional
        The class of each object: the mean is then over the classes of their means.
    seed : int
        Of the bootstrap.

    Returns
    -------
    Evidence

    Raises
    ------
    ValueError
        If a shape does not fit.

    Notes
    -----
    Cost: no pass through a model.
    Source: Wang et al., "Score-CAM", CVPR workshops 2020, for maps without negative values.
    """
    masks = region_masks(regions, maps)
    positive = maps.detach().double().clamp(min=0)
    total = positive.sum((1, 2))
    values = ((positive * masks).sum((1, 2)) / total).cpu().numpy()
    known = maps.flatten(1).isfinite().all(1) & (total > 0) & masks.any(2).any(1)
    values[(~known).cpu().numpy()] = math.nan
    return Evidence(
        metric="energy pointing",
        values=values,
        better="higher",
        notes=(f"share of the positive values; the objects cover {masks.double().mean():.3g} of the area",),
        groups=read_groups(classes, maps),
        seed=seed,
    )
