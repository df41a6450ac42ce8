"""``batch_spectra``: largest eigenvalues of batches' Hessians, measured and predicted from the full one."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from workbench.choices import check_choice, check_count
from workbench.colors import BLUE, GREEN, VERMILION
from workbench.curvature.eigensolver import eigenpairs
from workbench.curvature.operators import ProblemOperator
from workbench.curvature.random_matrix import batch_noise, noise_per_example, spiked
from workbench.curvature.tracking import MATRICES
from workbench.problem import Problem
from workbench.progress import progress
from workbench.random_vectors import generator, random_vectors
from workbench.result import Result, new_axes, standard_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class BatchSpectra(Result):
    r"""Largest eigenvalues of batches' matrices over the batch size.

    Attributes
    ----------
    sizes : ndarray (s,)
        Batch sizes B, ascending.
    measured, measured_stderr : ndarray (s,)
        Mean over random batches of the largest eigenvalue, and its standard error.
    isotropic : ndarray (s,)
        Prediction :math:`\lambda_1 + \rho_B^2/\lambda_1`, or the edge :math:`2\rho_B` of the noise.
    along, along_stderr : ndarray (s,)
        Prediction :math:`\lambda_1 + E\|(I - v_1 v_1^\top)(H_B - H) v_1\|^2/\lambda_1` from the noise along
        the eigenvector alone, to second order; its error is that of the noise.
    noise, noise_stderr : float
        Mean square :math:`S^2` of :math:`(H_i - H)v` over examples and unit vectors.
    noise_along, noise_along_stderr : float
        The same for the top eigenvector, its own component left out.
    full : float
        :math:`\lambda_1` of all examples.
    residual : float
        Its residual norm.
    examples : int
        N.
    matrix : str
        ``"hessian"`` or ``"ggn"``.
    interrupted : bool
        Whether sizes are missing because the computation was stopped.
    """

    sizes: np.ndarray
    measured: np.ndarray
    measured_stderr: np.ndarray
    isotropic: np.ndarray
    along: np.ndarray
    along_stderr: np.ndarray
    noise: float
    noise_stderr: float
    noise_along: float
    noise_along_stderr: float
    full: float
    residual: float
    examples: int
    matrix: str
    interrupted: bool = False

    def frame(self) -> pd.DataFrame:
        """One row per batch size."""
        names = ("measured", "measured_stderr", "isotropic", "along", "along_stderr")
        return pd.DataFrame({"batch_size": self.sizes} | {name: getattr(self, name) for name in names})

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Measured and predicted largest eigenvalue over the batch size."""
        ax = new_axes(ax)
        ax.errorbar(
            self.sizes, self.measured, 2 * self.measured_stderr,
            fmt="o", color=BLUE, capsize=2, label="batches, ± 2 stderr",
        )  # fmt: skip
        ax.plot(self.sizes, self.isotropic, "--", color=VERMILION, label="predicted, isotropic noise")
        ax.plot(self.sizes, self.along, "-", color=GREEN, label="predicted, noise along the eigenvector")
        ax.axhline(self.full, color="0.5", lw=0.8, label="all examples")
        ax.set_xscale("log", base=2)
        ax.set_xlabel("batch size (examples)")
        ax.set_ylabel(f"largest eigenvalue of the {self.matrix}")
        ax.legend()
        return ax

    def summary(self) -> str:
        """How far the predictions are off."""
        if not len(self.sizes):
            return "nothing was measured"
        off = [np.abs(each / self.measured - 1).max() for each in (self.isotropic, self.along)]
        note = " (interrupted)" if self.interrupted else ""
        return (
            f"largest eigenvalue {self.full:.4g} of {self.examples} examples, {self.measured[0]:.4g} of "
            f"{self.sizes[0]}; predictions are off by up to {off[0]:.0%} (isotropic noise) and {off[1]:.0%} "
            f"(noise along the eigenvector){note}"
        )


def batch_spectra(
    problem: Problem,
    sizes: Sequence[int] = (8, 32, 128, 512),
    *,
    matrix: str = "hessian",
    batches: int = 10,
    probes: int = 4,
    noise_size: int = 32,
    noise_batches: int = 20,
    tol: float = 1e-3,
    seed: int = 0,
) -> BatchSpectra:
    r"""Measure the largest eigenvalue of random batches' matrices, and predict it from the full one.

    Parameters
    ----------
    problem : Problem
        All examples.
    sizes : sequence of int
        Batch sizes; those larger than the number of examples are refused.
    matrix : {"hessian", "ggn"}
    batches : int
        Random batches at each size, drawn without replacement.
    probes : int
        Random vectors behind the noise.
    noise_size, noise_batches : int
        Size and number of the batches that the noise is estimated from; independent of the measured ones.
    tol : float
        Of each eigenvalue.
    seed : int
        Of batches and vectors.

    Returns
    -------
    BatchSpectra
        An interrupt (Ctrl-C) returns the sizes that are done.

    Raises
    ------
    ValueError
        If an option is out of range, or the largest eigenvalue is not positive.

    Notes
    -----
    The noise is unbiased: a mean of squares :math:`\|(H_B - H)v\|^2` with H exact, and the factor of drawing
    without replacement. Cost in products with all examples: those of one :func:`eigenpairs` and ``probes``;
    the batches add their share, e.g. ``noise_batches`` · (``probes`` + 1) · ``noise_size`` / N.
    """
    check_choice("matrix", matrix, tuple(MATRICES))
    check_count("batches", batches, 2)
    check_count("probes", probes, 2)
    check_count("noise_batches", noise_batches, 2)
    examples = problem.num_examples
    sizes = sorted(set(sizes))
    for size in sizes:
        check_count("sizes", size, 1, examples)
    check_count("noise_size", noise_size, 1, examples - 1)
    source = generator(seed)
    full = MATRICES[matrix](problem)
    top = eigenpairs(full, 1, tol=tol, seed=seed)
    value = top.values[0].item()
    if value <= 0:
        raise ValueError(f"the largest eigenvalue is {value:.3g}: the law needs a positive one")
    drawn = [_draw(problem, noise_size, source) for _ in range(noise_batches)]
    vectors = random_vectors(probes, problem.num_parameters, source).T
    squares, own = _noise(full, drawn, matrix, vectors / vectors.norm(dim=0), top.vectors[:, 0])
    scale = noise_per_example(1.0, noise_size, examples)
    noise, along = scale * squares.mean(), scale * own.mean()
    along_stderr = float(scale * standard_error(own))
    measured, interrupted = _measure(problem, sizes, matrix, batches, tol, source)
    done = np.array(sizes[: len(measured)])
    shares = np.array([batch_noise(1.0, int(size), examples) ** 2 for size in done])
    return BatchSpectra(
        sizes=done,
        measured=np.array([each.mean() for each in measured]),
        measured_stderr=np.array([float(standard_error(v)) if len(v) > 1 else 0.0 for v in measured]),
        isotropic=np.array([spiked(value, batch_noise(noise, int(size), examples)) for size in done]),
        along=value + shares * along / value,
        along_stderr=shares * along_stderr / value,
        noise=float(noise),
        noise_stderr=float(scale * _two_way_error(squares)),
        noise_along=float(along),
        noise_along_stderr=along_stderr,
        full=value,
        residual=top.residuals[0].item(),
        examples=examples,
        matrix=matrix,
        interrupted=interrupted,
    )


def _draw(problem: Problem, size: int, source: torch.Generator) -> Problem:
    chosen = torch.randperm(problem.num_examples, generator=source)[:size]
    return problem.subset(chosen.sort().values)


def _noise(
    full: ProblemOperator, drawn: Sequence[Problem], matrix: str, units: Tensor, vector: Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """Squares (batches, probes) of (H_B − H) v for unit vectors, and (batches,) across the eigenvector."""
    block = torch.cat([units.to(vector), vector[:, None]], dim=1).to(full.device, full.dtype)
    clean = full @ block
    squares, own = [], []
    with progress("noise of batches", len(drawn)) as advance:
        for part in drawn:
            change = (MATRICES[matrix](part, check=False) @ block - clean).double()
            squares.append(change[:, :-1].square().sum(dim=0).tolist())
            across = change[:, -1] - block[:, -1].double() * (block[:, -1].double() @ change[:, -1])
            own.append(across.square().sum().item())
            advance(1)
    return np.array(squares), np.array(own)


def _two_way_error(squares: np.ndarray) -> float:
    """Standard error of the mean where all batches (rows) are seen through the same probes (columns)."""
    return float(np.hypot(standard_error(squares.mean(axis=1)), standard_error(squares.mean(axis=0))))


def _measure(
    problem: Problem, sizes: Sequence[int], matrix: str, batches: int, tol: float, source: torch.Generator
) -> tuple[list[np.ndarray], bool]:
    measured: list[np.ndarray] = []
    with progress("spectra of batches", len(sizes) * batches) as advance:
        try:
            for size in sizes:
                values = []
                for _ in range(1 if size == problem.num_examples else batches):
                    operator = MATRICES[matrix](_draw(problem, size, source), check=False)
                    values.append(eigenpairs(operator, 1, tol=tol, method="lanczos").values[0].item())
                    advance(1)
                measured.append(np.array(values))
        except KeyboardInterrupt:
            if not measured:
                raise
            return measured, True
    return measured, False
