"""``eigenpairs``: extreme eigenvalues and eigenvectors, each with its true residual."""

import math
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
from workbench.progress import progress
from workbench.random_vectors import generator, random_vectors

DENSE_SIZE = 2000  # up to this many rows, all columns and a dense solve are as cheap as a search
_STEADY_STEPS = 10  # steps without news that end a search which met an invariant subspace


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
    _warn_if_missed(pairs)
    return pairs


def _solve_dense(op: CurvatureOperator, k: int, which: str, tol: float) -> Eigenpairs:
    """All eigenvalues of the whole matrix in float64, then the wanted ones."""
    matrix = op.dense().double()
    if not matrix.isfinite().all():
        raise ValueError("the matrix is not finite: is the loss finite at these parameters?")
    values, vectors = torch.linalg.eigh((matrix + matrix.T) / 2)
    norm = values.abs().max().item()
    skew = torch.linalg.matrix_norm(matrix - matrix.T).item()
    wanted = _presented(values.cpu().numpy(), which, k)
    return _result(
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
    least = k + _STEADY_STEPS * block if warm else 0
    images: Tensor | None = None
    try:
        _iterate(op, process, k, which, tol, least, budget - k, fresh)
        images = op @ _ritz_vectors(process, which, k)[0].T
    except KeyboardInterrupt:
        if process.size == 0:
            raise
    rows, values, residuals = _ritz_vectors(process, which, k)
    return _result(
        op,
        rows,
        images,
        (values, residuals),
        which=which,
        tol=tol,
        floor=process.floor,
        matvecs=op.matvecs - before,
        method="lanczos",
        asymmetry=process.asymmetry,
        interrupted=images is None,
    )


def _iterate(
    op: CurvatureOperator,
    process: Lanczos,
    k: int,
    which: str,
    tol: float,
    least: int,
    most: int,
    fresh: Callable[[], Tensor],
) -> None:
    """Advance until the k wanted pairs have converged, within this many products."""
    steadiness = _Steadiness()
    products = 0
    with progress("Lanczos products", None) as advance:
        while products < most:
            block = process.pending[: most - products]
            for product in (op @ block.T).T:
                process.absorb(product)
            products += len(block)
            advance(len(block))
            values, coordinates, residuals = process.ritz()
            order = _most_wanted(values, which)
            wanted = order[:k]
            done = residuals[wanted] <= np.maximum(tol * np.abs(values[wanted]), process.floor)
            settled = steadiness.update(values[wanted], process) and products >= least
            if process.size == op.shape[0] or (len(wanted) == k and done.all() and settled):
                return
            if process.closed:
                process.continue_with(fresh())
            if process.size + len(process.pending) > process.capacity:
                kept = order[: (k + process.capacity) // 2]
                process.restart(values[kept], coordinates[:, kept])


def _ritz_vectors(process: Lanczos, which: str, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Unit Ritz vectors (k, n), their values and estimated residuals (k,), in the order of the result."""
    values, coordinates, residuals = process.ritz()
    wanted = _presented(values, which, k)
    rows = process.vectors(coordinates[:, wanted])
    rows /= torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    return rows, torch.from_numpy(values[wanted]), torch.from_numpy(residuals[wanted])


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
        return not self._met_invariant or self._since >= _STEADY_STEPS


def _most_wanted(values: np.ndarray, which: str) -> np.ndarray:
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


def _presented(values: np.ndarray, which: str, k: int) -> np.ndarray:
    """Indices of the k wanted values in the order of the result."""
    wanted = _most_wanted(values, which)[:k]
    return wanted[np.argsort(-values[wanted], kind="stable")] if which == "BE" else wanted.copy()


def _result(
    op: CurvatureOperator,
    rows: Tensor,
    images: Tensor | None,
    estimates: tuple[Tensor, Tensor] | None = None,
    **known: Any,
) -> Eigenpairs:
    """Put a result together from unit vectors (k, n) and A times them (n, k), or from estimates instead."""
    vectors = rows.T.contiguous()
    signs = torch.gather(vectors, 0, vectors.abs().argmax(dim=0, keepdim=True)).sign()
    if images is not None:
        exact, images = vectors.double(), images.double()
        values = (exact * images).sum(dim=0) / exact.square().sum(dim=0)
        residuals = torch.linalg.vector_norm(images - exact * values, dim=0)
    else:
        assert estimates is not None
        values, residuals = estimates
    values, residuals = values.cpu(), residuals.cpu()
    return Eigenpairs(
        values=values,
        vectors=(vectors * signs).cpu(),
        residuals=residuals,
        converged=residuals <= torch.clamp(known["tol"] * values.abs(), min=known["floor"]),
        terms=op.terms,
        layout=tuple((part.name, part.start, part.stop) for part in op.layout),
        **known,
    )


def _warn_if_missed(pairs: Eigenpairs) -> None:
    missed = len(pairs.values) - int(pairs.converged.sum())
    if missed and not pairs.interrupted:
        warnings.warn(
            f"{missed} of {len(pairs.values)} eigenpairs did not converge to tol={pairs.tol:g} within "
            f"{pairs.matvecs} products: raise max_matvecs or tol",
            RuntimeWarning,
            stacklevel=3,
        )
