"""The search for eigenpairs: a Lanczos process until they have converged, and what it found."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workbench.curvature.lanczos import Lanczos
from workbench.curvature.operators import CurvatureOperator
from workbench.curvature.pairs import Eigenpairs
from workbench.progress import progress

Ritz = tuple[Tensor, Tensor, Tensor]  # unit vectors (k, n), their values and estimated residuals (k,)
STEADY_STEPS = 10  # steps without news that end a search which met an invariant subspace


def advance_until_converged(
    op: CurvatureOperator,
    process: Lanczos,
    k: int,
    which: str,
    allowed: Callable[[np.ndarray, np.ndarray], np.ndarray],
    fresh: Callable[[], Tensor],
    *,
    most: int,
    least: int = 0,
) -> None:
    """Advance a Lanczos process until its k wanted pairs have converged.

    Parameters
    ----------
    op, process
        The matrix and the process, which may have gone some steps.
    k, which
        As for :func:`~.eigensolver.eigenpairs`.
    allowed : callable
        ``allowed(wanted, all)``: residual norms at which pairs with the wanted values have converged, given
        all Ritz values; what lies below the floor has, too.
    fresh : callable
        Draws rows to go on from where the basis is invariant.
    most, least : int
        Products at most, and at least.
    """
    steadiness = _Steadiness()
    products = 0
    with progress("Lanczos products", None) as advance:
        while True:
            values, coordinates, residuals = process.ritz()
            order = most_wanted(values, which)
            wanted = order[:k]
            done = residuals[wanted] <= np.maximum(allowed(values[wanted], values), process.floor)
            settled = steadiness.update(values[wanted], process) and products >= least
            if process.size == op.shape[0] or (len(wanted) == k and done.all() and settled):
                return
            if products >= most:
                return
            if process.closed:
                process.continue_with(fresh())
            if process.size + len(process.pending) > process.capacity:
                kept = order[: (k + process.capacity) // 2]
                process.restart(values[kept], coordinates[:, kept])
            block = process.pending[: most - products]
            process.absorb((op @ block.T).T)
            products += len(block)
            advance(len(block))


def ritz_vectors(process: Lanczos, which: str, k: int) -> Ritz:
    """Unit Ritz vectors (k, n), their values and estimated residuals (k,), in the order of the result."""
    values, coordinates, residuals = process.ritz()
    wanted = presented(values, which, k)
    rows = process.vectors(coordinates[:, wanted])
    rows /= torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    return rows, torch.from_numpy(values[wanted]), torch.from_numpy(residuals[wanted])


def most_wanted(values: np.ndarray, which: str) -> np.ndarray:
    """Indices of all values, the most wanted first."""
    ascending = np.argsort(values, kind="stable")
    if which == "SA":
        return ascending
    if which == "LA":
        return ascending[::-1]
    if which == "LM":
        return np.argsort(-np.abs(values), kind="stable")
    count = len(values)
    both = np.empty(count, dtype=int)
    both[0::2] = ascending[::-1][: math.ceil(count / 2)]
    both[1::2] = ascending[: count // 2]
    return both


def presented(values: np.ndarray, which: str, k: int) -> np.ndarray:
    """Indices of the k wanted values in the order of the result."""
    wanted = most_wanted(values, which)[:k]
    return wanted[np.argsort(-values[wanted], kind="stable")] if which == "BE" else wanted.copy()


def make_pairs(
    op: CurvatureOperator,
    rows: Tensor,
    images: Tensor | None,
    estimates: tuple[Tensor, Tensor] | None = None,
    **known: Any,
) -> Eigenpairs:
    """Put a result together from unit vectors (k, n) and A times them (n, k), or from estimates instead."""
    signs = torch.gather(rows, 1, rows.abs().argmax(dim=1, keepdim=True)).sign()
    if images is not None:
        values, residuals = _residuals(rows, images.T)
    else:
        assert estimates is not None
        values, residuals = estimates
    values, residuals = values.cpu(), residuals.cpu()
    return Eigenpairs(
        values=values,
        vectors=(rows * signs).T.contiguous().cpu(),
        residuals=residuals,
        converged=residuals <= torch.clamp(known["tol"] * values.abs(), min=known["floor"]),
        terms=op.terms,
        layout=tuple((part.name, part.start, part.stop) for part in op.layout),
        **known,
    )


def _residuals(rows: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """Rayleigh quotients and residual norms of rows (k, n), in float64, one at a time: a cache holds that."""
    values, residuals = [], []
    for row, image in zip(rows, images, strict=True):
        vector, product = row.double(), image.double()
        values.append(vector @ product / (vector @ vector))
        residuals.append(torch.linalg.vector_norm(product - values[-1] * vector))
    return torch.stack(values), torch.stack(residuals)


def pairs_from(
    op: CurvatureOperator, process: Lanczos, found: Ritz, images: Tensor | None, **known: Any
) -> Eigenpairs:
    """Make a result of Ritz vectors and A times them (n, k); of the process' own estimates without these."""
    rows, values, residuals = found
    return make_pairs(
        op,
        rows,
        images,
        (values, residuals),
        floor=process.floor,
        method="lanczos",
        asymmetry=process.asymmetry,
        interrupted=images is None,
        **known,
    )


class _Steadiness:
    """Whether the wanted values have stopped changing, once an invariant subspace was met.

    After that each fresh vector may bring another copy of a repeated eigenvalue, which residuals do not show.
    """

    def __init__(self) -> None:
        self._met_invariant = False
        self._values = np.empty(0)
        self._since = 0

    def update(self, values: np.ndarray, process: Lanczos) -> bool:
        self._met_invariant |= process.nearly_closed
        same = len(values) == len(self._values) and np.allclose(
            values, self._values, rtol=1e-3, atol=process.floor
        )
        self._since = self._since + 1 if same else 0
        self._values = values
        return not self._met_invariant or self._since >= STEADY_STEPS
