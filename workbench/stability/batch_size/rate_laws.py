r"""What noise :math:`\rho_B` in a batch's curvature makes of the largest learning rates, as functions.

:math:`\rho_B^2` is the mean square of :math:`(H_B - H) v` across an eigenvector v of the whole Hessian; it
falls as 1/B (:func:`~workbench.curvature.random_matrix.batch_noise`).

Source: Granziol, Zohren, Roberts, arXiv 2006.09092. The abstract has the laws in words: linear scaling for
SGD, square root for adaptive methods, and (an earlier version) a least damping proportional to learning rate
over batch size. The forms below, which saturate, are derived here.
"""

import math
from typing import NamedTuple

import numpy as np

from workbench.choices import check_number


def sgd_rate(curvature: np.ndarray | float, momentum: float = 0.0) -> np.ndarray:
    r"""Rate above which heavy ball with momentum :math:`\mu` diverges on a curvature.

    :math:`2 (1 + \mu)/\lambda`; with the curvature of a batch, :math:`\lambda + \rho_B^2/\lambda`, it grows
    linearly with the batch size until :math:`\rho_B = \lambda`, and then saturates.

    Raises
    ------
    TypeError, ValueError
        If the momentum is not from 0 to below 1.
    """
    check_number("momentum", momentum, low=0, below=1)
    return 2 * (1 + momentum) / np.asarray(curvature, dtype=float)


def adaptive_share(eigenvalue: np.ndarray | float, noise: np.ndarray | float) -> np.ndarray:
    r"""Largest rate of a method that divides by the scale of its gradients, over that without noise.

    :math:`\lambda/\sqrt{\lambda^2 + \rho_B^2}`: grows as the square root of the batch size, then saturates.
    Such a rate is a length per step, so the curvature alone does not tell it, only its share.

    Notes
    -----
    Derived here (:func:`~.noisy_quadratic.settled_rate`): steps :math:`\eta g/\sqrt{E g^2}` on a quadratic
    whose gradient has mean :math:`\lambda x` and variance :math:`\rho_B^2 x_0^2` settle at a root mean square
    of :math:`x_0` for :math:`\eta = 2\lambda x_0/\sqrt{\lambda^2 + \rho_B^2}`.
    """
    return np.asarray(eigenvalue) / np.hypot(eigenvalue, noise)


def minimal_damping(
    eigenvalues: np.ndarray, batch_eigenvalues: np.ndarray, rate: float = 1.0
) -> np.ndarray | float:
    r"""Least :math:`\delta` for which steps :math:`\eta (H + \delta)^{-1} g` are stable in batches.

    .. math:: \delta = \max_j \left(\tfrac{\eta}{2} \lambda_j(B) - \lambda_j\right)_+

    Where :math:`\lambda_j(B) = \lambda_j + \rho_B^2/\lambda_j` is mostly noise, that is
    :math:`\eta\rho_B^2/(2\lambda_j) \propto \eta/B`.

    Parameters
    ----------
    eigenvalues : ndarray (k,)
        :math:`\lambda_j` of all the data, positive, which the preconditioner has.
    batch_eigenvalues : ndarray (..., k)
        :math:`\lambda_j(B)` of the batches that the gradients come from.
    rate : float
        :math:`\eta`.

    Notes
    -----
    Derived here; the proportionality is the paper's, its constant was not read.
    """
    check_number("rate", rate, above=0, below=math.inf)
    return np.maximum(rate / 2 * batch_eigenvalues - eigenvalues, 0.0).max(axis=-1)


class HeavyBall(NamedTuple):
    """A learning rate and a momentum."""

    rate: float
    momentum: float


def heavy_ball(largest: float, smallest: float) -> HeavyBall:
    r"""Return Polyak's rate and momentum for curvatures from ``smallest`` to ``largest``.

    .. math:: \eta = \left(\frac{2}{\sqrt{\lambda_1} + \sqrt{\lambda_n}}\right)^2, \qquad
       \mu = \left(\frac{\sqrt{\lambda_1} - \sqrt{\lambda_n}}{\sqrt{\lambda_1} + \sqrt{\lambda_n}}\right)^2

    Raises
    ------
    TypeError, ValueError
        If they are not positive, or the smallest is above the largest.
    """
    check_number("largest", largest, above=0, below=math.inf)
    check_number("smallest", smallest, above=0, below=math.inf)
    if smallest > largest:
        raise ValueError(f"smallest={smallest} is out of range: it must be at most largest={largest}")
    high, low = math.sqrt(largest), math.sqrt(smallest)
    return HeavyBall((2 / (high + low)) ** 2, ((high - low) / (high + low)) ** 2)
