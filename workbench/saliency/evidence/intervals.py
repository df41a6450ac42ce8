"""Bootstrap intervals of a mean, and of a mean over the means of groups."""

import math

import numpy as np

LEVEL = 0.95
_DRAWS = 1000


def grouped_mean(values: np.ndarray, groups: np.ndarray | None = None) -> np.ndarray:
    """Mean over the defined samples, or the mean of the groups' means; nan where none is defined.

    Parameters
    ----------
    values : ndarray (n,) or (n, s)
        One row per sample, nan where undefined.
    groups : ndarray (n,), optional
        The group of each sample, e.g. its class.

    Returns
    -------
    ndarray () or (s,)
    """
    return _means(np.ones((1, len(values))), values, groups)[0]


def bootstrap_interval(
    values: np.ndarray, groups: np.ndarray | None = None, *, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """95 % percentile interval of :func:`grouped_mean` when the samples are drawn again with replacement.

    1000 draws of all samples, the undefined ones too, so that the number of defined ones varies as it would.
    Fewer than two defined samples have no interval: nan.

    Returns
    -------
    low, high : ndarray () or (s,)
    """
    count = len(values)
    if count == 0:
        return np.full((2, *values.shape[1:]), math.nan)[0], np.full((2, *values.shape[1:]), math.nan)[1]
    weights = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=_DRAWS)
    means = np.sort(_means(weights.astype(float), values, groups), axis=0)  # nan sorts last
    usable = np.isfinite(means).sum(axis=0)
    tail = (1 - LEVEL) / 2
    low, high = (np.floor(share * (np.maximum(usable, 1) - 1)).astype(int) for share in (tail, 1 - tail))
    ends = [np.take_along_axis(means, place[None], axis=0)[0] for place in (low, high + (high < usable - 1))]
    known = np.isfinite(values).sum(axis=0) >= 2
    return np.where(known, ends[0], math.nan), np.where(known, ends[1], math.nan)


def _means(weights: np.ndarray, values: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """Grouped means (draws, ...) with each sample counted ``weights`` (draws, n) times."""
    table = values.reshape(len(values), -1)
    defined = np.isfinite(table)
    filled = np.where(defined, table, 0.0)
    members = [np.ones(len(values), bool)] if groups is None else [groups == g for g in np.unique(groups)]
    with np.errstate(invalid="ignore"):  # a group that was not drawn is 0 / 0, and left out
        means = np.stack(
            [weights[:, m] @ filled[m] / (weights[:, m] @ defined[m].astype(float)) for m in members]
        )
    drawn = np.isfinite(means)
    with np.errstate(invalid="ignore"):
        mean = np.where(drawn, means, 0.0).sum(axis=0) / drawn.sum(axis=0)
    return mean.reshape(len(weights), *values.shape[1:])
