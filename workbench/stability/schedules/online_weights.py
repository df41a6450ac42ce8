r"""Step sizes whose last iterate is as good as the weighted mean of another sequence, and their bound."""

import numpy as np


def steps_of_weights(weights: np.ndarray) -> np.ndarray:
    r"""Step sizes :math:`\eta_t = w_t \sum_{p>t} w_p / \sum_p w_p` (T,) of weights; the last is 0."""
    return weights * sums_after(weights) / weights.sum()


def sums_after(weights: np.ndarray) -> np.ndarray:
    """Sum of all weights after each one (T,); exactly 0 after the last."""
    return np.append(np.cumsum(weights[:0:-1])[::-1], 0.0)


def bound_of_weights(weights: np.ndarray, squares: np.ndarray, distance: float) -> float:
    r"""Bound of :math:`f(x_T) - f_*` for :math:`x_{t+1} = x_t - \eta_t g_t` with the steps of these weights.

    .. math:: f(x_T) - f_* \le \frac{D^2 + \sum_t w_t^2 \lVert g_t \rVert^2}{2 \sum_t w_t}

    Parameters
    ----------
    weights, squares : ndarray (T,)
        The weights, and the squared norms of the subgradients at :math:`x_1, \dots, x_T`; of stochastic ones
        their means, for the mean of the left side.
    distance : float
        Of :math:`x_1` to a minimum.

    Notes
    -----
    The bound behind the schedules of Defazio et al. (arXiv 2310.07831); this proof is ours. With
    :math:`W_t = \sum_{p \ge t} w_p`, the last value is a mean plus what each suffix gains on its first,

    .. math:: f(x_T) = \frac1{W_1}\sum_t w_t f(x_t) + \sum_{k<T} \frac{w_k}{W_k W_{k+1}} \sum_{t \ge k} w_t
        (f(x_t) - f(x_k)) .

    Convexity bounds each difference by :math:`\langle g_t, x_t - \cdot \rangle`. The factors of :math:`x_k`
    add up to :math:`\sum_{k<t} (W_1 / W_{k+1} - W_1 / W_k) = W_1 / W_t - 1`, so that
    :math:`W_1 (f(x_T) - f_*) \le \sum_t w_t \langle g_t, z_t - x_* \rangle` with
    :math:`z_{t+1} - z_t = (x_{t+1} - x_t) W_1 / W_{t+1} = -w_t g_t`: a subgradient method with steps
    :math:`w_t`, whose regret is known.
    """
    return float((distance**2 + (weights**2 * squares).sum()) / (2 * weights.sum()))
