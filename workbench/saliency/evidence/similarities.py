"""How similar two maps are: correlation of values or ranks, structural similarity, directions of edges."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from workbench.choices import check_choice
from workbench.saliency.evidence.questions import constant_maps

_WINDOW = 7  # pixels; scikit-image's default
_K1, _K2 = 0.01, 0.03
_CELLS = 14  # histograms of gradients along the shorter side: cells of 16 pixels at 224


def compare_maps(first: Tensor, second: Tensor, similarity: str) -> np.ndarray:
    """Similarity of each pair of maps; nan where one of the two is constant or not finite.

    Parameters
    ----------
    first, second : Tensor (N, H, W)
    similarity : {"pearson", "spearman", "spearman_abs", "ssim", "hog"}
        - ``"pearson"``: correlation of the values.
        - ``"spearman"``: correlation of the ranks, equal values sharing theirs.
        - ``"spearman_abs"``: the same of the absolute values.
        - ``"ssim"``: mean structural similarity over windows of 7 × 7 (the largest odd size that fits, for
          smaller maps), each map scaled to [0, 1].
        - ``"hog"``: correlation of histograms of oriented gradients, 8 directions in 14 cells along the
          shorter side (at least 2 pixels each), each map scaled to [0, 1].

    Returns
    -------
    ndarray (N,)
        At most 1, which is the same map.

    Raises
    ------
    ValueError
        If the similarity is unknown or the shapes differ.
    """
    check_choice("similarity", similarity, tuple(SIMILARITIES))
    if first.shape != second.shape:
        raise ValueError(f"maps of shape {tuple(first.shape)} and {tuple(second.shape)} cannot be compared")
    prepare, compare = SIMILARITIES[similarity]
    first, second = prepare(first.cpu()), prepare(second.cpu())
    defined = ~(constant_maps(first) | constant_maps(second))
    values = np.full(len(first), math.nan)
    if defined.any():
        values[defined.numpy()] = compare(first[defined].double(), second[defined].double())
    return values


def _pearson(first: Tensor, second: Tensor) -> np.ndarray:
    a, b = (maps.flatten(1) - maps.flatten(1).mean(1, keepdim=True) for maps in (first, second))
    return ((a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))).numpy()


def _spearman(first: Tensor, second: Tensor) -> np.ndarray:
    return _pearson(_ranks(first), _ranks(second))


def _ranks(maps: Tensor) -> Tensor:
    """Rank of each value in its map, from 0; equal values share the mean of theirs."""
    values = maps.flatten(1)
    ordered = values.sort(dim=1).values
    first = torch.searchsorted(ordered, values)
    behind = torch.searchsorted(ordered, values, right=True)
    return (first + behind - 1).double() / 2


def _ssim(first: Tensor, second: Tensor) -> np.ndarray:
    """Of maps within [0, 1]; variances and covariance over a window are those of a sample (n - 1)."""
    a, b = _scaled(first), _scaled(second)
    size = min(_WINDOW, *a.shape[1:])
    size -= 1 - size % 2

    def mean(maps: Tensor) -> Tensor:
        return F.avg_pool2d(maps[:, None], size, stride=1)[:, 0]

    sample = size**2 / max(size**2 - 1, 1)
    mean_a, mean_b = mean(a), mean(b)
    variance_a = sample * (mean(a * a) - mean_a**2)
    variance_b = sample * (mean(b * b) - mean_b**2)
    covariance = sample * (mean(a * b) - mean_a * mean_b)
    light = (2 * mean_a * mean_b + _K1**2) / (mean_a**2 + mean_b**2 + _K1**2)
    structure = (2 * covariance + _K2**2) / (variance_a + variance_b + _K2**2)
    return (light * structure).mean((1, 2)).numpy()


def _hog(first: Tensor, second: Tensor) -> np.ndarray:
    from skimage.feature import hog  # slow to import

    side = max(2, min(first.shape[1:]) // _CELLS)

    def describe(maps: Tensor) -> Tensor:
        found = [hog(each.numpy(), 8, (side, side), cells_per_block=(1, 1)) for each in _scaled(maps)]
        return torch.from_numpy(np.stack(found))

    return _pearson(describe(first), describe(second))


def _scaled(maps: Tensor) -> Tensor:
    """Maps stretched over [0, 1]."""
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    return (maps - low) / (high - low)


class Similarity(NamedTuple):
    """What is done to the maps first, and how they are compared then."""

    prepare: Callable[[Tensor], Tensor]
    compare: Callable[[Tensor, Tensor], np.ndarray]


def _as_is(maps: Tensor) -> Tensor:
    return maps


SIMILARITIES: dict[str, Similarity] = {
    "pearson": Similarity(_as_is, _pearson),
    "spearman": Similarity(_as_is, _spearman),
    "spearman_abs": Similarity(torch.abs, _spearman),
    "ssim": Similarity(_as_is, _ssim),
    "hog": Similarity(_as_is, _hog),
}
