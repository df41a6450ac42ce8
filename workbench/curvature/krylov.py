"""``explore_krylov``: both ends of a spectrum and its density from one block Krylov space."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from workbench.curvature.density import SpectralDensity
from workbench.curvature.eigensolver import warn_if_missed
from workbench.curvature.lanczos import Lanczos, warn_if_asymmetric
from workbench.curvature.operators import CurvatureOperator
from workbench.curvature.pairs import Eigenpairs
from workbench.curvature.quadrature import make_density, with_atoms
from workbench.curvature.search import Ritz, advance_until_converged, pairs_from, ritz_vectors
from workbench.memory import free_bytes
from workbench.progress import progress
from workbench.random_vectors import generator, random_vectors


class KrylovRun(NamedTuple):
    """What one Krylov space tells of a symmetric matrix; each part states the products of the whole run.

    Attributes
    ----------
    top : Eigenpairs
        The k largest.
    smallest : Eigenpairs
        The smallest one.
    density : SpectralDensity
        Outer eigenvalues that converged are exact atoms of it.
    """

    top: Eigenpairs
    smallest: Eigenpairs
    density: SpectralDensity


def explore_krylov(
    op: CurvatureOperator,
    k: int,
    *,
    probes: int,
    steps: int,
    tol: float,
    seed: int,
    most: int | None = None,
) -> KrylovRun:
    r"""Run block Lanczos from random probes, and read both ends and the density off the same space.

    With the probes :math:`z_i = Q r_i` in the orthonormal first block Q, each Ritz value
    :math:`\theta_j` has the weight :math:`(r_i^\top s_j)^2` in the quadrature of probe i, where
    :math:`s_j` are the first rows of the j-th eigenvector of T: the rule is exact for polynomials up to
    degree 2·steps − 1, as that of a run of its own. An outer Ritz pair that has converged is taken out of
    every probe's measure without a product: what is left is the measure of the probe's projection onto the
    complement. (Probes are Gaussian, so that the projection is uniform in direction.)

    After that the process goes on, thickly restarted where memory ends, until the ends have converged.

    Parameters
    ----------
    op : CurvatureOperator
    k : int
        Largest eigenpairs.
    probes, steps : int
        Random start vectors, and block steps that the density is made of; fewer probes, then fewer steps if
        the basis would take more than a quarter of the free memory.
    tol : float
        Residual norm relative to each of the largest; of the smallest, relative to the range.
    seed : int
        Of the probes.
    most : int, optional
        Products at most that the search goes on for at each end, beyond the steps; by default 20 k + 200.

    Returns
    -------
    KrylovRun
        After an interrupt: what the space tells so far, with Lanczos' own estimates of the residuals.

    Notes
    -----
    Cost: probes × steps products, what convergence takes beyond, and k + 1 for the true residuals. Memory:
    as many vectors, at most a quarter of what is free (or 3 k + 60 vectors, if that is more).

    Which pairs converge depends little on the probes, and what is left of them in the complement not at all,
    as long as all copies of an eigenvalue have been found: of a group of equal ones only fewer than there are
    probes are taken out.

    Source: Golub and Underwood, "The block Lanczos method for computing eigenvalues", 1977; Golub and
    Meurant, "Matrices, moments and quadrature with applications", 2010, for the block rule; Chen and Hallman,
    "Krylov-aware stochastic trace estimation", 2023, for taking a space's own Ritz vectors out of it.
    """
    n = op.shape[0]
    source = generator(seed)
    probes, steps, capacity = _fit(op, k, probes, steps)

    def fresh() -> Tensor:
        return random_vectors(1, n, source).to(op.device, op.dtype)

    starts = random_vectors(probes, n, source).to(op.device, op.dtype)
    before = op.matvecs
    process = Lanczos(starts, capacity, op.precision)
    units = starts.double() / torch.linalg.vector_norm(starts.double(), dim=1, keepdim=True)
    mixing = (units @ process.pending.double().T).cpu().numpy()
    del starts, units
    density: Callable[..., SpectralDensity] | None = None
    largest: Ritz | None = None
    lowest: Ritz | None = None
    images: Tensor | None = None
    try:
        _run(op, process, steps)
        density = _read_density(op, process, mixing, k, tol)
        advance_until_converged(
            op,
            process,
            k,
            "LA",
            lambda values, _: tol * np.abs(values),
            fresh,
            most=20 * k + 200 if most is None else most,
        )
        largest = ritz_vectors(process, "LA", k)  # now: restarts for the other end would forget them
        advance_until_converged(
            op,
            process,
            1,
            "SA",
            lambda _, every: tol * np.ptp(every, keepdims=True),
            fresh,
            most=220 if most is None else most,
        )
        lowest = ritz_vectors(process, "SA", 1)
        images = op @ torch.cat([largest[0], lowest[0]]).T
    except KeyboardInterrupt:
        if process.size == 0:
            raise
        density = density or _read_density(op, process, mixing, k, tol)
    largest = largest or ritz_vectors(process, "LA", k)
    lowest = lowest or ritz_vectors(process, "SA", 1)
    of_largest, of_lowest = (None, None) if images is None else (images[:, :-1], images[:, -1:])
    matvecs = op.matvecs - before
    top = pairs_from(op, process, largest, of_largest, which="LA", tol=tol, matvecs=matvecs)
    smallest = pairs_from(op, process, lowest, of_lowest, which="SA", tol=tol, matvecs=matvecs)
    bound = max(tol * (top.values[0] - smallest.values[0]).item(), process.floor)
    smallest = smallest.replace(converged=smallest.residuals <= bound)
    warn_if_asymmetric(process.asymmetry, op.precision)
    run = KrylovRun(top, smallest, density(matvecs=matvecs, interrupted=images is None))
    warn_if_missed(run.top)
    warn_if_missed(run.smallest)
    return run


def _fit(op: CurvatureOperator, k: int, probes: int, steps: int) -> tuple[int, int, int]:
    """Probes, steps, and the vectors of the basis, as far as a quarter of the free memory goes."""
    n = op.shape[0]
    search = 3 * k + 60
    room = max(free_bytes(op.device) // 4 // (n * op.dtype.itemsize), search)
    probes = min(probes, n, max(room // steps, 2))
    steps = max(min(steps, room // probes, -(-n // probes)), 1)
    return probes, steps, min(n, max(search, min(probes * steps + search, room)))


def _run(op: CurvatureOperator, process: Lanczos, steps: int) -> None:
    """Make the block steps that the density is read from, fewer if they meet an invariant subspace."""
    with progress("Krylov space", steps) as advance:
        for _ in range(steps):
            process.absorb((op @ process.pending.T).T)
            advance(1)
            if process.closed or process.size + len(process.pending) > process.capacity:
                return


def _read_density(
    op: CurvatureOperator, process: Lanczos, mixing: np.ndarray, k: int, tol: float
) -> Callable[..., SpectralDensity]:
    """Read each probe's rule off the space; the products that the run will have taken come later."""
    n = op.shape[0]
    values, coordinates, residuals = process.ritz()
    weights = (mixing @ coordinates[: mixing.shape[1]]) ** 2
    known = _known(values, residuals, tol, process.floor, k, len(mixing))
    if known.all() and len(values) < n:  # the rest of the spectrum has then no node to stand for it
        known[:] = False
    atoms = values[known]
    rest = weights[:, ~known] / weights[:, ~known].sum(axis=1, keepdims=True)
    return partial(
        make_density,
        op,
        [with_atoms(values[~known], each, atoms, n) for each in rest],
        atoms,
        steps=-(-process.size // mixing.shape[1]),
        exact=(process.closed,) * len(mixing),
        asymmetry=process.asymmetry,
    )


def _known(
    values: np.ndarray, residuals: np.ndarray, tol: float, floor: float, k: int, probes: int
) -> np.ndarray:
    """Which of the k largest have converged, in groups of equal ones smaller than the number of probes."""
    known = residuals <= np.maximum(tol * np.abs(values), floor)
    known[:-k] = False
    errors = residuals + floor
    groups = np.cumsum(np.diff(values, prepend=-np.inf) > errors + np.roll(errors, 1))
    sizes = np.bincount(groups)[groups]
    return known & (sizes < probes)
