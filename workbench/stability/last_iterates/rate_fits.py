"""``fitted_slope``: the power of T that means fall with, and its interval by the bootstrap."""

from typing import NamedTuple

import numpy as np

RESAMPLES = 1000


class Slope(NamedTuple):
    """A slope of log means against log T, with its 95% interval."""

    value: float
    low: float
    high: float


def fitted_slope(horizons: np.ndarray, blocks: np.ndarray, seed: int = 0) -> Slope:
    """Fit a line to the logarithms of means, and again to means of resampled blocks.

    Parameters
    ----------
    horizons : ndarray (n,)
        At least 2.
    blocks : ndarray (n, blocks)
        Means over blocks of runs, all of one size and independent of each other.
    seed : int
        Of the bootstrap, which resamples the blocks of each horizon by itself.

    Returns
    -------
    Slope
        All nan if a mean is not positive.
    """
    count = blocks.shape[1]
    drawn = np.random.default_rng(seed).multinomial(
        count, np.full(count, 1 / count), (RESAMPLES, len(blocks))
    )
    resampled = (drawn * blocks).sum(-1) / count
    values = _slopes(horizons, np.vstack([blocks.mean(1), resampled]))
    low, high = np.quantile(values[1:], (0.025, 0.975))
    return Slope(float(values[0]), float(low), float(high))


def _slopes(horizons: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Slope (k,) of each row (k, n) by least squares."""
    x = np.log(horizons) - np.log(horizons).mean()
    logs = np.log(np.where(means > 0, means, np.nan))
    return logs @ x / (x @ x)
