"""Which of the largest eigenvalues stand out of the bulk."""

import numpy as np

from workbench.curvature.pairs import Eigenpairs

_CLEAR = 6.0  # times the mean gap below: a gap this wide hardly happens at the edge of a bulk
_BELOW = 8  # gaps below that are looked at
_FEWEST = 4  # of them, or nothing is said


def count_outliers(values: np.ndarray, errors: np.ndarray) -> int:
    """Count the eigenvalues above the lowest clear gap among the largest ones.

    A gap between neighbours is clear if it is wider than 6 times the mean of the next 8 gaps below it (of 4
    at least), and than the errors of the two values together. Towards the edge of a bulk gaps grow slowly:
    with a semicircle or after Marchenko and Pastur, the 20 largest eigenvalues show one that is this wide in
    about 1 matrix of 100.

    Parameters
    ----------
    values : ndarray (k,)
        The k largest eigenvalues, descending. At least five have to lie in the bulk for all outliers to be
        counted.
    errors : ndarray (k,)
        How far each may be off.

    Returns
    -------
    int
        How many lie above the bulk, at most k − 5; 0 if no gap is clear.
    """
    gaps = values[:-1] - values[1:]
    certain = gaps > errors[:-1] + errors[1:]
    for above in range(len(gaps) - _FEWEST, 0, -1):
        below = gaps[above : above + _BELOW]
        if certain[above - 1] and gaps[above - 1] > _CLEAR * below.mean():
            return above
    return 0


def most_outliers(top: Eigenpairs) -> int:
    """How many of the largest eigenvalues could be told from the bulk, if they were outliers."""
    return max(_certain(top) - 1 - _FEWEST, 0)


def outliers_of(top: Eigenpairs) -> int:
    """Count the outliers among the largest eigenvalues, down to the first that did not converge."""
    certain = _certain(top)
    return count_outliers(top.values[:certain].numpy(), top.residuals[:certain].numpy() + top.floor)


def _certain(top: Eigenpairs) -> int:
    """How many have converged before the first that did not."""
    return int(top.converged.long().cumprod(dim=0).sum())
