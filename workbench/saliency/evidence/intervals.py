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
    A draw without any counts as the mean. Fewer than two defined samples have no interval: nan.

    Returns
    -------
    low, high : ndarray () or (s,)
    """
    count = len(values)
    known = np.isfinite(values).sum(axis=0) >= 2
    if not known.any():
        return np.full(values.shape[1:], math.nan), np.full(values.shape[1:], math.nan)
    weights = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=_DRAWS)
    means = _means(weights.astype(float), values, groups)
    means = np.where(np.isfinite(means), means, grouped_mean(values, groups))
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return np.where(known, low, math.nan), np.where(known, high, math.nan)


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
