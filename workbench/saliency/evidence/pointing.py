"""``pointing_game``: does the largest value of a map lie on the object?"""

import math

import numpy as np
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from workbench.saliency.evidence.evidence_result import Evidence, read_groups
from workbench.saliency.evidence.questions import constant_maps
from workbench.saliency.evidence.regions import Regions, region_masks

_TOO_LARGE = "TOLERANCE TOO LARGE for these pictures: most places count as hits"
_TELLING = 0.5  # share of the area: beyond it a random place hits more often than not


def pointing_game(
    maps: Tensor, regions: Regions, classes: Tensor | None = None, *, tolerance: float = 15, seed: int = 0
) -> Evidence:
    """Share of hits: the maximum of the map is on the object or no farther from it than the tolerance.

    The mean is taken over the samples of each class and then over the classes. Where several pixels share the
    maximum, the value is the share of them that hit, which is what a random choice among them has on average.
    A constant map points nowhere, and a sample may have no object: undefined.

    Parameters
    ----------
    maps : Tensor (N, H, W)
    regions : boxes or masks
        See :func:`~.regions.region_masks`.
    classes : Tensor (N,), optional
        The class of each object; without it the mean is over the samples.
    tolerance : float
        Distance in pixels between the centres of the maximum and of the nearest pixel of the object, at least
        0. The paper's 15 are meant for images of some hundred pixels; the notes say how much of the area
        that makes, on which a random place hits as often, and a warning if it is more than half.
    seed : int
        Of the bootstrap.

    Returns
    -------
    Evidence
        1 for a hit, 0 for a miss.

    Raises
    ------
    ValueError
        If a shape does not fit or the tolerance is negative.

    Notes
    -----
    Cost: no pass through a model.
    Source: Zhang et al., "Top-down neural attention by excitation backprop", ECCV 2016 (there 15
    pixels, on images of some hundred).
    """
    if not tolerance >= 0:
        raise ValueError(f"tolerance={tolerance!r} is not allowed: it must be 0 or more pixels")
    masks = region_masks(regions, maps)
    groups = read_groups(classes, maps)
    near = np.stack([_grown(mask, tolerance) for mask in masks.cpu().numpy()])
    tops = (maps == maps.amax((1, 2), keepdim=True)).cpu().numpy()
    with np.errstate(invalid="ignore"):  # a map that is not finite has no maximum
        values = (tops & near).sum((1, 2)) / tops.sum((1, 2))
    known = masks.any(2).any(1).cpu().numpy()
    values[constant_maps(maps).cpu().numpy() | ~known] = math.nan
    share = near[known].mean() if known.any() else math.nan
    return Evidence(
        metric="pointing game",
        values=values,
        better="higher",
        notes=(f"maximum at most {tolerance:g} pixels from the object, where {share:.3g} of the area is",),
        warning=_TOO_LARGE if share > _TELLING else "",
        groups=groups,
        seed=seed,
    )


def _grown(mask: np.ndarray, tolerance: float) -> np.ndarray:
    """The mask (H, W) and all pixels within the tolerance."""
    if not mask.any():
        return mask
    return distance_transform_edt(~mask) <= tolerance
