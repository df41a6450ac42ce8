"""Means of what varies by factors, over seeds, with their intervals."""

from typing import NamedTuple

import numpy as np
from scipy import stats

from workbench.result import standard_error


class LogMean(NamedTuple):
    """Geometric mean of the finite values with its 95% interval, which takes their logarithms for normal."""

    mean: float
    low: float
    high: float
    count: int


def log_mean(values: np.ndarray) -> LogMean:
    """Geometric mean and its interval by Student's t; values that are not finite are left out of both.

    All nan if none is finite; of one value the interval is nan.
    """
    logs = np.log(values[np.isfinite(values)])
    count = len(logs)
    if not count:
        return LogMean(np.nan, np.nan, np.nan, 0)
    width = stats.t.ppf(0.975, count - 1) * standard_error(logs) if count > 1 else np.nan
    center = logs.mean()
    return LogMean(float(np.exp(center)), float(np.exp(center - width)), float(np.exp(center + width)), count)
