"""``diagonal``: every entry of the diagonal from random products."""

from typing import Any

import torch
from torch import Tensor

from workbench.choices import check_choice, check_count
from workbench.curvature.diagonal_estimate import DiagonalEstimate
from workbench.curvature.estimators import HutchinsonDiagonal, XDiag, exact_samples, finite, sample
from workbench.curvature.operators import as_operator
from workbench.progress import progress

_COST = {"hutchinson": HutchinsonDiagonal.cost, "xdiag": XDiag.cost}


def diagonal(
    op: Any, method: str = "hutchinson", *, max_matvecs: int = 100, seed: int = 0
) -> DiagonalEstimate:
    r"""Estimate the diagonal of a symmetric operator, and its sum over each layer.

    ``"hutchinson"`` averages :math:`v \circ A v` over random signs v. ``"xdiag"`` treats a random part of
    the range of A exactly, which is much better when few eigenvalues make up most of the matrix.

    Parameters
    ----------
    op : CurvatureOperator, or any object with ``shape`` and ``@``
        The matrix (n × n).
    method : {"hutchinson", "xdiag"}
        The estimator; one and two products per sample.
    max_matvecs : int
        Products to be used. If there are n, the diagonal is exact.
    seed : int
        Of the random signs.

    Returns
    -------
    DiagonalEstimate
        Entries and sums over parameters, each with its standard error. An interrupt (Ctrl-C) returns what the
        samples so far say. Rounding of the products is not in the standard errors.

    Raises
    ------
    ValueError
        If an argument is out of range, a product is not finite, or what ``"xdiag"`` keeps (3/2 vectors per
        product) does not fit into half of the free memory.

    Notes
    -----
    Sources: Bekas, Kokiopoulou and Saad, "An estimator for the diagonal of a matrix", 2007; Epperly, Tropp
    and Webber, "XTrace: making the most of every sample in stochastic trace estimation", 2024
    (arXiv 2301.07825).
    """
    op = as_operator(op)
    check_choice("method", method, tuple(_COST))
    check_count("max_matvecs", max_matvecs, low=_COST[method])
    n, before = op.shape[0], op.matvecs
    layout = tuple((part.name, part.start, part.stop) for part in op.layout) or (("all", 0, n),)
    interrupted = False
    if max_matvecs >= n:
        found, method, count = exact_samples(torch.diagonal(finite(op.dense())), layout), "exact", 1
    else:
        most = max_matvecs // _COST[method]
        estimator = (
            HutchinsonDiagonal(op, layout, seed) if method == "hutchinson" else XDiag(op, layout, seed, most)
        )
        try:
            with progress("diagonal", most * estimator.cost) as advance:
                sample(estimator.extend, most, lambda count: advance(count * estimator.cost))
        except KeyboardInterrupt:
            if not estimator.count:
                raise
            interrupted = True
        found, count = estimator.finish(), estimator.count
    return DiagonalEstimate(
        values=found.values.cpu(),
        stderr=found.stderr.cpu(),
        layer_sums=_tensor([layer.mean for layer in found.layers]),
        layer_stderr=_tensor([layer.stderr for layer in found.layers]),
        trace=found.total.mean,
        trace_stderr=found.total.stderr,
        samples=count,
        matvecs=op.matvecs - before,
        method=method,
        terms=op.terms,
        layout=layout,
        interrupted=interrupted,
    )


def _tensor(numbers: list[float]) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64, device="cpu")
