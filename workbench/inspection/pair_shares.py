"""``pair_mean`` and ``share_interval``: averages over pairs of things that share their members."""

import math

import numpy as np

from workbench.moment import Reading
from workbench.result import clopper_pearson


def pair_mean(values: np.ndarray) -> Reading:
    """Average a symmetric array (m, m) over its m (m - 1) / 2 pairs; the diagonal does not count.

    The standard error is the jackknife's, which leaves out one member at a time with all of its pairs: pairs
    that share a member are not independent. On average it is not too small (Efron and Stein 1981). nan with
    fewer than two members, and no error with fewer than three.
    """
    m = len(values)
    if m < 2:
        return Reading(math.nan, math.nan)
    rows = (values - np.diag(np.diag(values))).sum(axis=1)
    mean = float(rows.sum() / (m * (m - 1)))
    if m < 3:
        return Reading(mean, math.nan)
    without = (rows.sum() - 2 * rows) / ((m - 1) * (m - 2))
    return Reading(mean, float(np.sqrt((m - 1) / m * np.square(without - without.mean()).sum())))


def share_interval(share: Reading, members: int) -> tuple[float, float]:
    """95 % interval of a share of pairs, as :func:`pair_mean` has it.

    Clopper and Pearson's for as many independent pairs as would have the same error; of m members these are
    no fewer than the m / 2 disjoint ones, and no more than all. Korn and Graubard (1998) do so for surveys;
    that it serves for pairs was tried here: in simulations it held the truth in 95 % or more, with shares
    from 0.02 to 0.5, where the error times Student's quantile did not. Not so for noise of few dimensions:
    in one, with 20 members, it held it in 88 %.
    """
    value, error = share
    if not 0 <= value <= 1:
        return math.nan, math.nan
    alike = value * (1 - value) / error**2 if error > 0 else 0.0
    pairs = min(max(alike, members / 2), members * (members - 1) / 2)
    low, high = clopper_pearson(np.array(value * pairs), pairs)
    return float(low), float(high)
