"""``log_determinant``: of a damped operator, by stochastic Lanczos quadrature."""

from typing import Any

from workbench.curvature.density import check_damping
from workbench.curvature.quadrature import spectral_density
from workbench.result import Estimate


def log_determinant(
    op: Any,
    *,
    damping: float,
    probes: int = 10,
    steps: int = 80,
    distribution: str = "rademacher",
    seed: int = 0,
) -> Estimate:
    r"""Estimate :math:`\log\det(A + \mathrm{damping} \cdot I)` of a symmetric operator.

    Each probe's Lanczos process gives nodes θ and weights w; the estimate is the mean over probes of
    :math:`n \sum_j w_j \log(\theta_j + \mathrm{damping})`. A spectral density that was computed before gives
    the same for any damping without a product: ``density.log_determinant(damping)``.

    Parameters
    ----------
    op : CurvatureOperator, or any object with ``shape`` and ``@``
        The matrix A (n × n).
    damping : float
        What is added to every eigenvalue, at least 0.
    probes, steps, distribution, seed
        As for :func:`spectral_density`.

    Returns
    -------
    Estimate
        One sample per probe, with the standard error over them. ``converged=False`` and a warning if the
        last quarter of the steps still moved it by more than that: the quadrature comes down from above
        and wants more steps, or more damping. After an interrupt: what there is.

    Raises
    ------
    ValueError
        If an argument is out of range, or a Ritz value shows that the damped matrix is not positive definite
        beyond rounding. (Ritz values lie inside the spectrum: that none shows it is no proof.)

    Notes
    -----
    Cost: probes × steps products.

    Source: Ubaru, Chen and Saad, "Fast estimation of tr(f(A)) via stochastic Lanczos quadrature", 2017.
    """
    check_damping(damping)
    density = spectral_density(op, probes, steps, distribution=distribution, seed=seed)
    return density.log_determinant(damping)
