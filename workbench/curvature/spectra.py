"""``spectrum``: outliers, bulk, edges and sums of a curvature matrix in one call."""

import math
from typing import Any

import numpy as np
import torch

from workbench.choices import check_count
from workbench.curvature.eigensolver import eigenpairs
from workbench.curvature.full_spectrum import Spectrum
from workbench.curvature.krylov import explore_krylov
from workbench.curvature.matrices import ggn, hessian
from workbench.curvature.operators import Hessian, as_operator
from workbench.curvature.outliers import outliers_of
from workbench.curvature.pairs import Eigenpairs
from workbench.layout import layers_of
from workbench.problem import Problem


def spectrum(
    source: Any,
    k: int = 20,
    *,
    probes: int = 5,
    steps: int = 50,
    tol: float = 1e-3,
    layers: bool = False,
    seed: int = 0,
    max_matvecs: int | None = None,
) -> Spectrum:
    r"""Measure the whole spectrum of a symmetric matrix, each figure with its error.

    Parameters
    ----------
    source : Problem, CurvatureOperator, or any object with ``shape`` and ``@``
        A problem stands for its Hessian.
    k : int
        Largest eigenvalues to compute. Outliers are counted among them, at most k − 5: raise it if there may
        be more.
    probes, steps : int
        Random start vectors and steps of the Krylov space; two probes or more give standard errors, more of
        them smaller ones, more steps a finer density.
    tol : float
        Residual norm of the largest eigenvalues, relative to each; of the smallest, relative to the range of
        the spectrum.
    layers : bool
        Also find the largest eigenvalue of each layer's diagonal block.
    seed : int
        Of start vectors and probes.
    max_matvecs : int, optional
        Products at most that each search (of either end, of the Gauss-Newton matrix, of a layer) goes on for,
        beyond probes × steps; by default 20 k + 200. What has not converged by then says so.

    Returns
    -------
    Spectrum
        An interrupt (Ctrl-C) returns what there is.

    Raises
    ------
    ValueError
        If ``k``, ``probes``, ``steps`` or ``tol`` is out of range, or ``layers`` are asked of a matrix that
        has none.

    Notes
    -----
    Outliers are the eigenvalues above the lowest clear gap (see
    :func:`~workbench.curvature.outliers.count_outliers`); the largest eigenvalue below it is the edge of the
    bulk. For a Hessian the subspace of its outliers (of the largest eigenvalue if there are none) is compared
    with that of the Gauss-Newton matrix, whose search starts from there.

    Largest, smallest and density come from one Krylov space (see
    :func:`~workbench.curvature.krylov.explore_krylov`). Cost in products: probes × steps, what the largest
    take beyond that to converge, and k + 1 for true residuals; about 3 per outlier with the Gauss-Newton
    matrix, 10 per layer. Memory: probes × steps vectors.
    """
    op = hessian(source) if isinstance(source, Problem) else as_operator(source)
    n = op.shape[0]
    check_count("k", k)
    check_count("probes", probes)
    check_count("steps", steps)
    if max_matvecs is not None:
        check_count("max_matvecs", max_matvecs, 2 * k)
    if n < 2:
        raise ValueError(f"a matrix of shape {op.shape} has no bulk")
    if layers and not op.layout:
        raise ValueError("layers=True: this operator does not know which parameter stands where")
    if not 0 < tol < 1:
        raise ValueError(f"tol={tol} is out of range: it must be between 0 and 1")
    top, smallest, density = explore_krylov(
        op, min(k, n - 1), probes=probes, steps=steps, tol=tol, seed=seed, most=max_matvecs
    )
    outliers = outliers_of(top)
    gauss_newton: Eigenpairs | None = None
    blocks: dict[str, Eigenpairs] = {}
    interrupted = top.interrupted
    try:
        _go_on(top)
        if isinstance(op, Hessian):
            gauss_newton = _gauss_newton(op, top, outliers, tol, seed, max_matvecs)
            _go_on(gauss_newton)
        for layer, names in layers_of(op.layout).items() if layers else ():
            blocks[layer] = eigenpairs(
                op.restrict(names), 1, tol=tol, method="lanczos", seed=seed, max_matvecs=max_matvecs
            )
            _go_on(blocks[layer])
    except KeyboardInterrupt:
        interrupted = True
    others = [part for part in (gauss_newton, *blocks.values()) if part is not None]
    angles, angles_bound = _angles(top, gauss_newton, max(outliers, 1))
    return Spectrum(
        top=top,
        outliers=outliers,
        smallest=smallest,
        density=density,
        gauss_newton=gauss_newton,
        angles=angles,
        angles_bound=angles_bound,
        layers=blocks,
        size=n,
        matvecs=top.matvecs + sum(part.matvecs for part in others),
        terms=op.terms,
        interrupted=interrupted,
    )


def _go_on(part: Eigenpairs) -> None:
    """Stop as well if an interrupt stopped this part, which is kept."""
    if part.interrupted:
        raise KeyboardInterrupt


def _gauss_newton(
    op: Hessian, top: Eigenpairs, outliers: int, tol: float, seed: int, max_matvecs: int | None
) -> Eigenpairs:
    """As many pairs of the Gauss-Newton matrix as there are outliers, and the next, which shows the gap.

    Not probed: the Hessian was, at the same model.
    """
    matrix = ggn(op.problem, regularization=op.regularization, check=False)
    count = min(max(outliers, 1) + 1, op.shape[0])
    return eigenpairs(
        matrix,
        count,
        tol=tol,
        start=top.vectors[:, :count],
        method="lanczos",
        seed=seed,
        max_matvecs=max_matvecs,
    )


def _angles(top: Eigenpairs, other: Eigenpairs | None, count: int) -> tuple[np.ndarray, float]:
    """Principal angles of the two leading subspaces in degrees, ascending, and how far each may be off.

    From sines and cosines: either alone loses half of the digits at one end.
    """
    if other is None or min(len(top.values), len(other.values)) <= count:
        return np.empty(0), math.nan
    ours, theirs = (torch.linalg.qr(pairs.vectors[:, :count].double())[0] for pairs in (top, other))
    overlap = ours.T @ theirs
    cosines, sines = torch.linalg.svdvals(overlap), torch.linalg.svdvals(theirs - ours @ overlap)
    angles = torch.rad2deg(torch.atan2(sines.flip(0), cosines))
    return angles.numpy(), _tilt(top, count) + _tilt(other, count)


def _tilt(pairs: Eigenpairs, count: int) -> float:
    """Largest angle in degrees between the leading subspace and the true one, at most."""
    return math.degrees(math.asin(pairs.sine_bound(count)))
