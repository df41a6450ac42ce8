"""``eigenpairs``: extreme eigenvalues and eigenvectors, each with its true residual."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workbench.choices import check_choice, check_count
from workbench.curvature.lanczos import ROUNDINGS, Lanczos, warn_if_asymmetric
from workbench.curvature.operators import CurvatureOperator, as_operator
from workbench.curvature.pairs import Eigenpairs
from workbench.curvature.search import (
    STEADY_STEPS,
    Ritz,
    advance_until_converged,
    make_pairs,
    pairs_from,
    presented,
    ritz_vectors,
)
from workbench.random_vectors import generator, random_vectors

DENSE_SIZE = 2000  # up to this many rows, all columns and a dense solve are as cheap as a search


def eigenpairs(
    op: Any,
    k: int = 10,
    which: str = "LA",
    *,
    tol: float = 1e-3,
    block: int = 1,
    start: Tensor | Eigenpairs | None = None,
    seed: int = 0,
    max_matvecs: int | None = None,
    method: str = "auto",
) -> Eigenpairs:
    r"""Find k extreme eigenpairs of a symmetric operator, with the residual norm of each.

    Parameters
    ----------
    op : CurvatureOperator, or any object with ``shape`` and ``@``
        The matrix (n × n).
    k : int
        How many pairs, at most n.
    which : {"LA", "SA", "LM", "BE"}
        Largest, smallest, largest in magnitude, or both ends (one more of the large ones if k is odd).
    tol : float
        A pair has converged when its residual norm :math:`\|A y - \lambda y\|` is at most
        :math:`\max(\mathrm{tol}\,|\lambda|, \mathrm{floor})`. The floor is 10 roundings of the norm
        of A, what products can resolve at all.
    block : int
        Vectors that each step multiplies together. An eigenvalue repeated up to ``block`` times is listed as
        often; a block that the operator multiplies at once may be cheaper than its columns, but more of them
        are needed.
    start : Tensor (n,) or (n, m), or Eigenpairs, optional
        Where to look first: eigenvectors of a matrix nearby, such as that of the checkpoint before. The start
        vectors lean towards them and keep a random part, so that what is new is found as well. The dense
        method does not need it.
    seed : int
        Of the start vectors; the same seed gives the same numbers, whatever the global generators did.
    max_matvecs : int, optional
        Products at most, the k for the final residuals included; by default 20 k + 200.
    method : {"auto", "lanczos", "dense"}
        ``"auto"`` computes the whole matrix when n ≤ 2000 (and within ``max_matvecs``, if given).

    Returns
    -------
    Eigenpairs
        The most wanted first (for ``"BE"`` in descending order). What has not converged within the budget is
        returned as such, with a warning. An interrupt (Ctrl-C) of Lanczos returns what there is, as it is.

    Raises
    ------
    ValueError
        If k, ``which``, ``tol``, ``block``, ``method`` or ``max_matvecs`` is out of range, or ``start`` does
        not fit the matrix.

    Notes
    -----
    Block Lanczos with full two-pass reorthogonalisation and thick restarts; whether the wanted pairs have
    converged is asked at each step. Memory: up to 3 max(k, block) + 60 + block vectors.

    From one start vector only one vector of each eigenspace can be reached, from a block as many as it has:
    an eigenvalue repeated more often may be listed that often only, unless an invariant subspace was met on
    the way (the search then goes on from fresh vectors). The dense method lists all.

    A start near old eigenvectors converges to them before new ones have come into sight, so at least k + 10
    block products are made then. After small changes of ``digits-mlp`` little is left to be saved (0 of 15
    products for the top 5, 0 to 11 of some 50 for the top 20), and where eigenvalues lie close, at the edge
    of the bulk, one search of twelve took the eleventh for the tenth: to be sure of all, start at random.

    Source: Wu and Simon, "Thick-restart Lanczos method for large symmetric eigenvalue problems", 2000.
    """
    op = as_operator(op)
    n = op.shape[0]
    check_choice("which", which, ("LA", "SA", "LM", "BE"))
    check_choice("method", method, ("auto", "lanczos", "dense"))
    check_count("k", k, 1, n)
    check_count("block", block, 1, n)
    if not 0 < tol < 1:
        raise ValueError(f"tol={tol} is out of range: it must be between 0 and 1")
    if max_matvecs is not None:
        check_count("max_matvecs", max_matvecs, 2 * k)
    fresh = _start_vectors(op, block, start, generator(seed))
    if method == "dense" or (method == "auto" and n <= min(DENSE_SIZE, max_matvecs or n)):
        pairs = _solve_dense(op, k, which, tol)
    else:
        pairs = _search(op, k, which, tol, fresh, max_matvecs or 20 * k + 200, warm=start is not None)
    warn_if_asymmetric(pairs.asymmetry, op.precision)
    warn_if_missed(pairs)
    return pairs


def _solve_dense(op: CurvatureOperator, k: int, which: str, tol: float) -> Eigenpairs:
    """All eigenvalues of the whole matrix in float64, then the wanted ones."""
    matrix = op.dense().double()
    if not matrix.isfinite().all():
        raise ValueError("the matrix is not finite: is the loss finite at these parameters?")
    values, vectors = torch.linalg.eigh((matrix + matrix.T) / 2)
    norm = values.abs().max().item()
    skew = torch.linalg.matrix_norm(matrix - matrix.T).item()
    wanted = presented(values.cpu().numpy(), which, k)
    return make_pairs(
        op,
        vectors[:, wanted].T,
        matrix @ vectors[:, wanted],
        which=which,
        tol=tol,
        floor=ROUNDINGS * op.precision * norm,
        matvecs=op.shape[0],
        method="dense",
        asymmetry=skew / norm if norm else 0.0,
    )


def _start_vectors(
    op: CurvatureOperator, block: int, start: Tensor | Eigenpairs | None, source: torch.Generator
) -> Callable[[], Tensor]:
    """Return what draws rows (block, n): at first they lean towards ``start``, later they are random alone.

    The vectors of ``start`` are dealt to the rows. One Krylov space from their sum needs fewer products than
    a block of all of them: its polynomials separate them while they damp the rest for each.
    """
    leaning = None if start is None else _unit_rows(op, start)

    def draw() -> Tensor:
        nonlocal leaning
        rows = random_vectors(block, op.shape[0], source).to(device=op.device, dtype=op.dtype)
        if leaning is not None:
            rows /= torch.linalg.vector_norm(rows, dim=1, keepdim=True)
            for i, vector in enumerate(leaning):
                rows[i % block] += vector
            leaning = None
        return rows

    return draw


def _unit_rows(op: CurvatureOperator, start: Tensor | Eigenpairs) -> Tensor:
    """Return the vectors to start from as unit rows (m, n)."""
    vectors = start.vectors if isinstance(start, Eigenpairs) else start
    if not isinstance(vectors, Tensor):
        kind = type(vectors).__name__
        raise TypeError(f"start is a {kind}: it must be a tensor (n,) or (n, m), or Eigenpairs")
    n = op.shape[0]
    if vectors.dim() not in (1, 2) or vectors.shape[0] != n:
        raise ValueError(f"start of shape {tuple(vectors.shape)} does not fit: pass ({n},) or ({n}, m)")
    rows = vectors.detach().reshape(n, -1).T.to(device=op.device, dtype=op.dtype)
    lengths = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    if not (lengths.isfinite() & (lengths > 0)).all():
        raise ValueError("start holds a vector that is zero or not finite")
    return rows / lengths


def _search(
    op: CurvatureOperator,
    k: int,
    which: str,
    tol: float,
    fresh: Callable[[], Tensor],
    budget: int,
    *,
    warm: bool,
) -> Eigenpairs:
    """Thick-restart Lanczos, then one product per pair for its true residual."""
    before = op.matvecs
    start = fresh()
    block = len(start)
    process = Lanczos(start, min(op.shape[0], 3 * max(k, block) + 60), op.precision)
    # What is near an old eigenvector converges before anything else has come into sight.
    least = k + STEADY_STEPS * block if warm else 0
    found: Ritz | None = None
    images: Tensor | None = None
    try:
        advance_until_converged(
            op, process, k, which, lambda values, _: tol * np.abs(values), fresh, most=budget - k, least=least
        )
        found = ritz_vectors(process, which, k)
        images = op @ found[0].T
    except KeyboardInterrupt:
        if process.size == 0:
            raise
    found = found or ritz_vectors(process, which, k)
    return pairs_from(op, process, found, images, which=which, tol=tol, matvecs=op.matvecs - before)


def warn_if_missed(pairs: Eigenpairs) -> None:
    missed = len(pairs.values) - int(pairs.converged.sum())
    if missed and not pairs.interrupted:
        warnings.warn(
            f"{missed} of {len(pairs.values)} eigenpairs did not converge to tol={pairs.tol:g} within "
            f"{pairs.matvecs} products: raise max_matvecs or tol",
            RuntimeWarning,
            stacklevel=3,
        )
