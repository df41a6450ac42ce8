"""``spectral_density``: stochastic Lanczos quadrature."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from workbench.choices import check_choice, check_count
from workbench.curvature.density import SpectralDensity, broaden
from workbench.curvature.eigensolver import eigenpairs
from workbench.curvature.lanczos import warn_if_asymmetric
from workbench.curvature.operators import CurvatureOperator, as_operator
from workbench.curvature.pairs import Eigenpairs
from workbench.curvature.recurrence import Recurrences
from workbench.memory import free_bytes
from workbench.progress import progress
from workbench.random_vectors import PROBES, generator, random_vectors
from workbench.result import standard_error

_POINTS = 1024  # of the grid, at least
_WIDTH = 1 / 200  # of the Gaussian, as a share of the spectrum's range
_NULL = 1e-3  # of the largest magnitude: what counts as near zero
_TAIL = 4.0  # widths of the Gaussian beyond the outermost Ritz values
_LOCKSTEP = 16  # probes that share the passes over the data, memory permitting
_GUARDED = 24  # steps within which outliers converge
_CACHE = 2**23  # bytes of a probe's vectors that are no trouble to go through at every step
_VECTORS = 6  # of each probe beside those that it keeps: three steps', two products, one drawn in float64


def spectral_density(
    op: Any,
    probes: int = 10,
    steps: int = 80,
    *,
    width: float | None = None,
    deflate: Eigenpairs | int | None = None,
    distribution: str = "rademacher",
    seed: int = 0,
) -> SpectralDensity:
    r"""Estimate the density of the eigenvalues of a symmetric operator.

    Each random probe v starts a Lanczos process; its Ritz values :math:`\theta_j`, weighted with the squared
    first components of the eigenvectors of T, are a quadrature for the spectral measure of v, exact for
    polynomials up to degree 2·steps − 1. The mean of that measure over probes is the density of the
    eigenvalues.

    Parameters
    ----------
    op : CurvatureOperator, or any object with ``shape`` and ``@``
        The matrix (n × n).
    probes : int
        Independent random vectors; two or more give a standard error.
    steps : int
        Lanczos steps of each (n at most are made). A probe that meets an invariant subspace stops there: its
        quadrature is exact.
    width : float, optional
        Standard deviation of the Gaussian that an eigenvalue is drawn as; by default 1/200 of the range.
    deflate : Eigenpairs or int, optional
        Eigenpairs that are known, or how many of the largest in magnitude are searched for first. Those that
        converged become exact atoms of weight 1/n; the probes are made orthogonal to them and measure the
        rest, with weight (n − m)/n. No Lanczos step and no variance is spent on them.
    distribution : {"rademacher", "gaussian"}
        Of the probes, which are scaled to unit length.
    seed : int
        Of the probes.

    Returns
    -------
    SpectralDensity
        With the trace and the Frobenius norm as by-products. An interrupt (Ctrl-C) returns the finished
        probes, or if there is none the steps made so far.

    Raises
    ------
    ValueError
        If ``probes``, ``steps``, ``width``, ``deflate`` or ``distribution`` is out of range.

    Notes
    -----
    Cost: probes × steps products, up to 16 probes in one block, and those of the search if ``deflate`` is a
    number. Memory: 30 vectors per probe of a block; the blocks are made smaller so that this stays within a
    quarter of the free memory. If steps vectors take no more than 8 MB they are all kept orthogonal to each
    other. Otherwise that is done to outliers only (:class:`~.recurrence.Recurrences`): other nodes may be
    copies, which costs the near-null mass some resolution and the sums nothing.

    Source: Ghorbani, Krishnan and Xiao, "An investigation into neural net optimization via Hessian eigenvalue
    density", 2019; Ubaru, Chen and Saad, "Fast estimation of tr(f(A)) via stochastic Lanczos
    quadrature", 2017. Deflation: with pairs of residual norm r, eigenvalues of the rest are right to r² over
    the gap, the squared Frobenius norm lacks 2 Σ r², the trace is unbiased whatever they are (with Rademacher
    probes up to a share of m/n², since each probe is scaled to unit length in the complement).
    """
    op = as_operator(op)
    check_count("probes", probes)
    check_count("steps", steps)
    check_choice("distribution", distribution, PROBES)
    if width is not None and not 0 < width < math.inf:
        raise ValueError(f"width={width} is out of range: it must be positive")
    source = generator(seed)
    n = op.shape[0]
    before = op.matvecs
    atoms, vectors = _known_pairs(op, deflate, seed)
    removed = torch.linalg.qr(vectors.to(op.device, op.dtype))[0] if len(atoms) else None
    steps = min(steps, n - len(atoms))
    groups: list[Recurrences] = []
    interrupted = False
    with progress("spectral density", probes * steps) as advance:
        try:
            guarded = _guarded(op, steps)
            together = _lockstep(op, guarded)
            for first in range(0, probes, together):
                count = min(probes - first, together)
                starts = random_vectors(count, n, source, distribution).to(op.device, op.dtype)
                groups.append(Recurrences(starts, steps, op.precision, guarded, removed))
                _run(op, groups[-1], advance)
        except KeyboardInterrupt:
            finished = [group for group in groups if group.done]
            groups = finished or [group for group in groups if group.sizes.all()]
            if not groups:
                raise
            interrupted = True
    norm = max(*(group.norm for group in groups), np.abs(atoms).max(initial=0.0))
    result = make_density(
        op,
        [with_atoms(*rule, atoms, n) for group in groups for rule in group.rules()],
        atoms,
        width=width,
        steps=max(int(group.sizes.max()) for group in groups),
        exact=tuple(closed for group in groups for closed in group.closed.tolist()),
        matvecs=op.matvecs - before,
        asymmetry=max(group.skew for group in groups) / norm if norm else 0.0,
        interrupted=interrupted,
    )
    warn_if_asymmetric(result.asymmetry, op.precision)
    return result


def _known_pairs(
    op: CurvatureOperator, deflate: Eigenpairs | int | None, seed: int
) -> tuple[np.ndarray, torch.Tensor]:
    """Return the eigenvalues (m,) and vectors (n, m) that are set apart."""
    n = op.shape[0]
    if deflate is None:
        return np.empty(0), torch.empty(n, 0)
    if not isinstance(deflate, Eigenpairs):
        check_count("deflate", deflate, 1, n - 1)
        deflate = eigenpairs(op, int(deflate), "LM", method="lanczos", seed=seed)
        if deflate.interrupted:
            raise KeyboardInterrupt
    if deflate.vectors.shape[0] != n:
        raise ValueError(f"deflate has vectors of {deflate.vectors.shape[0]} entries, not of {n}")
    found = deflate.converged
    if int(found.sum()) == n:
        raise ValueError(f"deflate has all {n} eigenpairs: nothing is left to measure")
    return deflate.values[found].numpy(), deflate.vectors[:, found]


def _run(op: CurvatureOperator, group: Recurrences, advance: Callable[[int], object]) -> None:
    """Advance all processes side by side, so that a pass over the data serves all of them."""
    while not group.done:
        count = len(group.newest)
        group.absorb((op @ group.newest.T).T)
        advance(count)


def _guarded(op: CurvatureOperator, steps: int) -> int:
    """Number of steps whose vectors are all kept: each of them if a cache holds them."""
    return steps if steps * op.shape[0] * op.dtype.itemsize <= _CACHE else min(_GUARDED, steps)


def _lockstep(op: CurvatureOperator, guarded: int) -> int:
    """Number of probes whose vectors fit into a quarter of the free memory, from 1 to 16."""
    each = (guarded + _VECTORS) * op.shape[0] * op.dtype.itemsize
    return int(min(max(free_bytes(op.device) // 4 // each, 1), _LOCKSTEP))


def make_density(
    op: CurvatureOperator,
    rules: list[tuple[np.ndarray, np.ndarray]],
    atoms: np.ndarray,
    *,
    width: float | None = None,
    **known: Any,
) -> SpectralDensity:
    """Put a density together from each probe's nodes, ascending, and weights, the atoms among them."""
    n = op.shape[0]
    nodes = [values for values, _ in rules]
    weights = [weight for _, weight in rules]
    low, high = min(v[0] for v in nodes), max(v[-1] for v in nodes)
    largest = max(abs(low), abs(high))
    width = width or (high - low) * _WIDTH or largest * _WIDTH or _WIDTH
    grid = grid_around(low, high, width, least=_POINTS)
    densities = np.array([broaden(grid, v, w, width) for v, w in rules])
    null = np.array([w[np.abs(v) <= _NULL * largest].sum() for v, w in rules])
    traces = n * np.array([v @ w for v, w in rules])
    squares = n * np.array([v**2 @ w for v, w in rules])
    frobenius = math.sqrt(squares.mean())
    return SpectralDensity(
        grid=grid,
        density=densities.mean(axis=0),
        stderr=standard_error(densities),
        width=float(width),
        ritz_values=tuple(nodes),
        weights=tuple(weights),
        size=n,
        null_mass=float(null.mean()),
        null_stderr=float(standard_error(null)),
        null_threshold=float(_NULL * largest),
        trace=float(traces.mean()),
        trace_stderr=float(standard_error(traces)),
        frobenius=frobenius,
        frobenius_stderr=float(standard_error(squares)) / (2 * frobenius) if frobenius else 0.0,
        terms=op.terms,
        atoms=np.sort(atoms),
        precision=op.precision,
        **known,
    )


def with_atoms(
    nodes: np.ndarray, weights: np.ndarray, atoms: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Join the rule of the other eigenvalues, its weights summing to 1, with known ones of weight 1/n."""
    nodes = np.concatenate([nodes, atoms])
    weights = np.concatenate([(size - len(atoms)) / size * weights, np.full(len(atoms), 1 / size)])
    order = np.argsort(nodes, kind="stable")
    return nodes[order], weights[order]


def grid_around(low: float, high: float, width: float, *, least: int = 1) -> np.ndarray:
    """Evenly spaced points from some widths below to some above, three per width and so many at least."""
    low, high = low - _TAIL * width, high + _TAIL * width
    points = int(min(max(least, math.ceil(3 * (high - low) / width)), 100_000))
    return np.linspace(low, high, points)
