"""``trace`` and ``frobenius_norm``: sums over the eigenvalues, from random products."""

import math
from typing import Any

import torch

from workbench.choices import check_choice, check_count
from workbench.curvature.estimators import (
    DISTRIBUTIONS,
    Hutchinson,
    HutchPlusPlus,
    Probes,
    Sampler,
    Samples,
    XTrace,
    estimate,
)
from workbench.curvature.operators import CurvatureOperator, as_operator
from workbench.result import Estimate

_COST = {"hutchinson": Hutchinson.cost, "hutch++": HutchPlusPlus.cost, "xtrace": XTrace.cost}


def trace(
    op: Any,
    method: str = "hutchinson",
    *,
    max_matvecs: int = 100,
    rtol: float | None = None,
    atol: float | None = None,
    distribution: str | None = None,
    seed: int = 0,
) -> Estimate:
    r"""Estimate the trace of a square operator from products with random vectors.

    ``"hutchinson"`` averages :math:`v^\top A v`. The other two treat a random part of the range of A exactly
    and average over the rest, which is much better when few eigenvalues make up most of the matrix, as in
    trained networks, and slightly worse when all are alike.

    Parameters
    ----------
    op : CurvatureOperator, or any object with ``shape`` and ``@``
        The matrix (n × n).
    method : {"hutchinson", "hutch++", "xtrace"}
        The estimator; one, three and two products per sample.
    max_matvecs : int
        Products at most; all are used if no tolerance is given. If there are n, the trace is exact.
    rtol, atol : float, optional
        Stop as soon as the standard error is at most rtol times the magnitude of the trace, or atol times the
        Frobenius norm (a trace can be near zero), whichever is larger. This is asked after 10 samples and
        then whenever there are a quarter more; asking repeatedly makes the stated error slightly optimistic.
    distribution : {"rademacher", "sphere", "gaussian"}, optional
        Of the random vectors: signs, uniform on a sphere, or normal. By default signs, and for ``"xtrace"``
        the sphere, with the scaling of its authors.
    seed : int
        Of the random vectors.

    Returns
    -------
    Estimate
        With ``converged=False`` and a warning if a tolerance was not reached, and ``converged=False`` after
        an interrupt (Ctrl-C), which returns what there is. Rounding of the products is not in the standard
        error.

    Raises
    ------
    ValueError
        If an argument is out of range, a product is not finite, or what ``"hutch++"`` and ``"xtrace"`` keep
        does not fit into half of the free memory.

    Notes
    -----
    The Frobenius norm comes from the same products. With signs the variance of one sample of
    ``"hutchinson"`` is :math:`2 \sum_{i \ne j} A_{ij}^2`. ``"hutch++"`` keeps 4/3 vectors per product,
    ``"xtrace"`` 3/2. Nothing is computed twice: more samples extend what is there.

    The samples of ``"xtrace"`` are not independent. Its authors' error estimate, which is the standard error
    of the samples as if they were, is too small; the one here adds an unbiased estimate of their covariance.

    Sources: Hutchinson, "A stochastic estimator of the trace of the influence matrix", 1989; Meyer, Musco,
    Musco and Woodruff, "Hutch++: optimal stochastic trace estimation", 2021; Epperly, Tropp and Webber,
    "XTrace: making the most of every sample in stochastic trace estimation", 2024 (arXiv 2301.07825).
    """
    op = as_operator(op)
    _check_tolerance("rtol", rtol)
    _check_tolerance("atol", atol)
    sampler = _sampler(op, method, max_matvecs, distribution, seed)

    def allowed(value: float) -> float:
        return max((rtol or 0) * abs(value), (atol or 0) * math.sqrt(max(sampler.squares().mean, 0)))

    return estimate(
        op,
        sampler,
        sampler.traces,
        name="trace",
        method=method,
        max_matvecs=max_matvecs,
        allowed=None if rtol is None and atol is None else allowed,
        exact=torch.trace,
    )


def frobenius_norm(
    op: Any,
    method: str = "hutchinson",
    *,
    max_matvecs: int = 100,
    rtol: float | None = None,
    distribution: str | None = None,
    seed: int = 0,
) -> Estimate:
    r"""Estimate the Frobenius norm, the root of the sum of the squared eigenvalues.

    ``"hutchinson"`` averages :math:`\|A v\|^2`, an estimate of :math:`\|A\|_F^2`. The other two treat a part
    of the range exactly: :math:`\|A\|_F^2 = \|A Q\|_F^2 + \|A (I - Q Q^\top)\|_F^2`.

    Parameters
    ----------
    op : CurvatureOperator, or any object with ``shape`` and ``@``
        The matrix (n × n).
    method : {"hutchinson", "hutch++", "xtrace"}
        The estimator, as for :func:`trace`.
    max_matvecs : int
        Products at most; all are used if no tolerance is given. If there are n, the norm is exact.
    rtol : float, optional
        Stop as soon as the standard error is at most this share of the norm.
    distribution : {"rademacher", "sphere", "gaussian"}, optional
        Of the random vectors, as for :func:`trace`.
    seed : int
        Of the random vectors.

    Returns
    -------
    Estimate
        The root of the mean square, with the standard error that follows from that of the mean square to
        first order; the samples are linearised in the same way. Not converged and interrupted: as for
        :func:`trace`.

    Raises
    ------
    ValueError
        As for :func:`trace`.

    Notes
    -----
    The square is unbiased; the root of it is low by about half its squared relative error.

    Source: the estimators of :func:`trace`, applied to :math:`A^\top A`, but with a single product for each.
    """
    op = as_operator(op)
    _check_tolerance("rtol", rtol)
    sampler = _sampler(op, method, max_matvecs, distribution, seed)
    return estimate(
        op,
        sampler,
        lambda: _root(sampler.squares()),
        name="Frobenius norm",
        method=method,
        max_matvecs=max_matvecs,
        allowed=None if rtol is None else lambda value: rtol * value,
        exact=torch.linalg.matrix_norm,
    )


def _sampler(
    op: CurvatureOperator, method: str, max_matvecs: int, distribution: str | None, seed: int
) -> Sampler:
    check_choice("method", method, tuple(_COST))
    if distribution is None:
        distribution = "sphere" if method == "xtrace" else "rademacher"
    check_choice("distribution", distribution, DISTRIBUTIONS)
    check_count("max_matvecs", max_matvecs, low=_COST[method])
    probes = Probes(op, distribution, seed)
    if method == "hutchinson":
        return Hutchinson(op, probes)
    capacity = min(max_matvecs, op.shape[0]) // _COST[method]
    return HutchPlusPlus(op, probes, capacity) if method == "hutch++" else XTrace(op, probes, capacity)


def _root(squares: Samples) -> Samples:
    """Numbers whose mean is the root of the mean square, with its standard error to first order."""
    if squares.mean <= 0:
        return Samples(torch.zeros_like(squares.values), 0.0)
    root = math.sqrt(squares.mean)
    return Samples(root + (squares.values - squares.mean) / (2 * root), squares.stderr / (2 * root))


def _check_tolerance(name: str, value: float | None) -> None:
    if value is not None and not 0 < value < 1:
        raise ValueError(f"{name}={value} is out of range: it must be between 0 and 1")
