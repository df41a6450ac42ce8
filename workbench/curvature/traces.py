"""``trace``: the sum of the eigenvalues, from random products."""

import math
import warnings
from typing import Any

import numpy as np

from workbench.choices import check_choice, check_count
from workbench.curvature.operators import as_operator
from workbench.progress import progress
from workbench.random_vectors import PROBES, generator, random_vectors
from workbench.result import Estimate, standard_error

_BLOCK = 10  # probes per pass over the data; also the fewest that a standard error is believed from


def trace(
    op: Any,
    method: str = "hutchinson",
    *,
    probes: int = 100,
    rtol: float | None = None,
    distribution: str = "rademacher",
    seed: int = 0,
) -> Estimate:
    r"""Estimate the trace of a symmetric operator as the mean of :math:`v^\top A v` over random v.

    Parameters
    ----------
    op : CurvatureOperator, or any object with ``shape`` and ``@``
        The matrix (n × n).
    method : {"hutchinson"}
        The estimator.
    probes : int
        Samples; with ``rtol`` the most that are taken.
    rtol : float, optional
        Stop as soon as the standard error is at most ``rtol`` times the magnitude of the mean, asked after
        every 10 probes. Asking repeatedly makes the stated error slightly optimistic.
    distribution : {"rademacher", "gaussian"}
        Of the entries of v; Rademacher has the smaller variance.
    seed : int
        Of the probes.

    Returns
    -------
    Estimate
        With ``converged=False`` and a warning if ``rtol`` was not reached, and ``converged=False`` after an
        interrupt (Ctrl-C), which returns the samples so far.

    Raises
    ------
    ValueError
        If ``method``, ``probes``, ``rtol`` or ``distribution`` is out of range.

    Notes
    -----
    One product per probe. With Rademacher entries the variance of one sample is
    :math:`2 \sum_{i \ne j} A_{ij}^2`. Source: Hutchinson, "A stochastic estimator of the trace", 1989.
    """
    op = as_operator(op)
    check_choice("method", method, ("hutchinson",))
    check_choice("distribution", distribution, PROBES)
    check_count("probes", probes)
    if rtol is not None and not 0 < rtol < 1:
        raise ValueError(f"rtol={rtol} is out of range: it must be between 0 and 1")
    source = generator(seed)
    samples: list[float] = []
    interrupted = False
    with progress("trace", probes) as advance:
        try:
            while len(samples) < probes and not _reached(samples, rtol):
                count = min(_BLOCK, probes - len(samples))
                block = random_vectors(count, op.shape[0], source, distribution)
                block = block.T.contiguous().to(device=op.device, dtype=op.dtype)
                samples += ((op @ block).double() * block.double()).sum(dim=0).tolist()
                advance(count)
        except KeyboardInterrupt:
            if not samples:
                raise
            interrupted = True
    if not np.isfinite(samples).all():
        raise ValueError("a product with the operator is not finite: is the loss finite here?")
    reached = rtol is None or _reached(samples, rtol)
    if not reached and not interrupted:
        warnings.warn(
            f"the trace did not reach rtol={rtol:g} within {probes} probes: raise probes or rtol",
            RuntimeWarning,
            stacklevel=2,
        )
    return Estimate(
        name="trace",
        value=float(np.mean(samples)),
        stderr=float(standard_error(np.asarray(samples))),
        samples=tuple(samples),
        matvecs=len(samples),
        converged=reached and not interrupted,
        terms=op.terms,
    )


def _reached(samples: list[float], rtol: float | None) -> bool:
    if rtol is None or len(samples) < _BLOCK:
        return False
    error = float(standard_error(np.asarray(samples)))
    return error <= rtol * abs(math.fsum(samples) / len(samples))
