"""Means over seeds with their intervals, also of what varies by factors."""

from typing import NamedTuple

import numpy as np

from workbench.result import student_interval


class Mean(NamedTuple):
    """A mean of ``used`` values with its 95% interval; all nan of none, the interval nan of one."""

    mean: float
    low: float
    high: float
    used: int


def student_mean(values: np.ndarray) -> Mean:
    """Mean of independent values (k,) and its interval by Student's t, which takes them for normal."""
    count = len(values)
    if not count:
        return Mean(np.nan, np.nan, np.nan, 0)
    center, half = student_interval(values)
    return Mean(center, center - half, center + half, count)


def log_mean(values: np.ndarray) -> Mean:
    """Geometric mean and its interval; values that are not finite are left out of both."""
    mean, low, high, count = student_mean(np.log(values[np.isfinite(values)]))
    return Mean(float(np.exp(mean)), float(np.exp(low)), float(np.exp(high)), count)
