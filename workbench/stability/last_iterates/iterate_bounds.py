r"""``last_iterate_bound``: what the step sizes promise of the last iterate, as a number."""

import math

import numpy as np
from scipy.optimize import minimize_scalar

from workbench.choices import check_number


def last_iterate_bound(
    steps: np.ndarray,
    moment: float | np.ndarray,
    divergence: float,
    *,
    smoothness: float | None = None,
    convexity: float = 0.0,
    power: float = 2.0,
) -> float:
    r"""Bound of :math:`\mathrm E f(x_{T+1}) - f_*` after T steps of stochastic mirror descent.

    Each step minimises :math:`\eta_t \langle g_t, x \rangle + D_\psi(x, x_t)` over a convex set, where
    :math:`\psi = \sum_i |x_i|^q / q` with :math:`1/p + 1/q = 1`: for p = 2 it is SGD, projected or not. With
    weights :math:`\theta_t`, :math:`E_k = \sum_{t \ge k} \theta_t` and :math:`V_k = \sum_{t \ge k} v_t`,

    .. math:: \mathrm E f(x_{T+1}) - f_* \le \frac{\gamma_0 D + V_1}{E_1} +
        \sum_k \frac{\theta_k}{E_k} \frac{V_k}{E_{k+1}} .

    Without strong convexity :math:`\theta_t = \eta_t` and :math:`\gamma_0 = 1`. Equal steps make the sum a
    harmonic one, hence :math:`\log T`; steps that decay linearly do not.

    Parameters
    ----------
    steps : ndarray (T,)
        Step sizes, positive.
    moment : float or ndarray
        Without ``smoothness``: :math:`\mathrm E \sum_i |g_{t,i}|^p` of the stochastic subgradients at
        :math:`x_1, \dots, x_{T+1}` (T + 1,), or a bound of all. With it: the variance
        :math:`\mathrm E \lVert \xi_t \rVert^2` of their noise (T,).
    divergence : float
        :math:`D = D_\psi(x_*, x_1)`; for p = 2 half the squared distance of the start to the minimum.
    smoothness : float, optional
        L of a smooth function, whose steps must be below 1/L.
    convexity : float
        :math:`\mu` of strong convexity; no step may be above :math:`1/\mu`. Only for p = 2.
    power : float
        p, above 1 and at most 2: the moment of the noise that is finite.

    Returns
    -------
    float
        inf if the moment is.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Notes
    -----
    Derived here, by the way of Shamir and Zhang (2013); Liu and Zhou (arXiv 2312.08531) treat the same step
    sizes in greater generality, with constants of their own. For any point u that is known before step k,

    .. math:: \sum_{t \ge k} \theta_t\, \mathrm E (f(x_t) - f(u)) \le \gamma_{k-1} D_\psi(u, x_k) + V_k,

    with :math:`v_t = \gamma_t c^{1-p} \eta_t^p m_t / p`, where
    :math:`D_\psi(x, y) \ge c \sum_i |x_i - y_i|^q / q`, :math:`\gamma_t = \prod_{s>t} (1 - \mu \eta_s)` and
    :math:`\theta_t = \gamma_t \eta_t`. Taking
    :math:`u = x_k` says how far a suffix is above its first member, and the difference of two means of
    suffixes is a multiple of that. The step from :math:`x_{T+1}` is not made and may be any: it is
    :math:`\eta_T`. If f is smooth, :math:`f(x_{t+1})` takes the place of :math:`f(x_t)`,
    :math:`v_t = \gamma_t \eta_t^2 m_t / (2 (1 - \eta_t L))`, and the suffix after :math:`x_{k+1}` begins with
    step k + 1.
    """
    check_number("power", power, above=1)
    check_number("convexity", convexity, low=0, below=math.inf)
    check_number("divergence", divergence, low=0)
    if power > 2 or (power < 2 and (convexity or smoothness is not None)):
        raise ValueError(
            f"power={power} is out of range: at most 2, and 2 for smooth or strongly convex functions"
        )
    if (steps <= 0).any() or (steps * convexity > 1 + 1e-12).any():
        raise ValueError("steps must be positive, and at most 1 / convexity")
    if smoothness is None:
        steps = np.append(steps, steps[-1])
        spread = modulus(power) ** (1 - power) * steps**power / power
    else:
        if (steps * smoothness >= 1).any():
            raise ValueError(f"steps must be below 1 / smoothness = {1 / smoothness:g}")
        spread = steps**2 / (2 * (1 - steps * smoothness))
    shrinking = np.append(np.cumprod((1 - convexity * steps)[::-1])[::-1], 1.0)  # the product from s = t on
    weights, spreads = shrinking[1:] * steps, shrinking[1:] * spread * moment
    ends, sums = np.cumsum(weights[::-1])[::-1], np.cumsum(spreads[::-1])[::-1]
    first = (shrinking[0] * divergence + sums[0]) / ends[0]
    rises = sums[:-1] if smoothness is None else sums[1:]
    return float(first + (weights[:-1] / ends[:-1] * rises / ends[1:]).sum())


def modulus(power: float) -> float:
    r"""The largest c with :math:`D_\psi(x, y) \ge c |x - y|^q / q` for :math:`\psi = |x|^q/q`, q = p/(p - 1).

    1 for p = 2, :math:`2 - \sqrt 2` for p = 3/2. Both sides are homogeneous, so that y = 1 is enough; the
    minimum is at a negative x, found to rounding by a bounded search.
    """
    if power == 2:
        return 1.0
    q = power / (power - 1)

    def ratio(x: float) -> float:
        return (abs(x) ** q - 1 - q * (x - 1)) / abs(x - 1) ** q

    found = minimize_scalar(lambda log: ratio(-math.exp(log)), bounds=(-5, 10), method="bounded")
    return float(min(1.0, found.fun))
