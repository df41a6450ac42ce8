"""``batch_spectra``: largest eigenvalues of batches' matrices, measured and predicted from the full one."""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from workbench.choices import check_choice, check_count
from workbench.colors import BLUE, GREEN, VERMILION
from workbench.curvature.eigensolver import eigenpairs
from workbench.curvature.operators import ProblemOperator
from workbench.curvature.random_matrix import batch_noise, spiked, spiked_along
from workbench.curvature.subsampling import (
    NOISE_BATCHES,
    NOISE_SIZE,
    BatchNoise,
    check_sizes,
    draw,
    measure_noise,
    next_operator,
)
from workbench.curvature.tracking import MATRICES
from workbench.problem import Problem
from workbench.progress import progress
from workbench.random_vectors import generator
from workbench.result import Result, new_axes, standard_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BELOW = 5  # eigenvalues beyond those asked for, which push them up


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class BatchSpectra(Result):
    r"""The k largest eigenvalues of batches' matrices over the batch size, s sizes.

    Attributes
    ----------
    sizes : ndarray (s,)
        Batch sizes B, ascending.
    measured, measured_stderr : ndarray (s, k)
        Mean over random batches of the j-th largest eigenvalue, and its standard error (0 at B = N).
    isotropic : ndarray (s, k)
        Prediction :math:`\lambda_j + \rho_B^2/\lambda_j`, or the edge :math:`2\rho_B` of the noise.
    along, along_stderr : ndarray (s, k)
        Prediction from the noise along the eigenvectors alone, to second order
        (:func:`~.random_matrix.spiked_along`); its error is that of the noise.
    thresholds : ndarray (s, k)
        Root :math:`\rho_{B,j}` of the mean square of :math:`(H_B - H) v_j` across :math:`v_j`. Where
        :math:`\lambda_j \le \rho_{B,j}`, the direction drowns in the noise of a batch.
    noise, noise_stderr : float
        Mean square :math:`S^2` of :math:`(H_i - H)v` over examples and unit vectors.
    noise_along, noise_along_stderr : ndarray (k,)
        The same for each eigenvector, its own component left out.
    full, residuals : ndarray (k,)
        :math:`\lambda_j` of all examples, descending, and their residual norms.
    examples : int
        N.
    matrix : str
        ``"hessian"`` or ``"ggn"``.
    batches : int
        Measured at each size.
    matvecs : int
        Products spent, each counted as the share of all examples that it took.
    interrupted : bool
        Whether sizes are missing because the computation was stopped.
    """

    sizes: np.ndarray
    measured: np.ndarray
    measured_stderr: np.ndarray
    isotropic: np.ndarray
    along: np.ndarray
    along_stderr: np.ndarray
    thresholds: np.ndarray
    noise: float
    noise_stderr: float
    noise_along: np.ndarray
    noise_along_stderr: np.ndarray
    full: np.ndarray
    residuals: np.ndarray
    examples: int
    matrix: str
    batches: int
    matvecs: float
    interrupted: bool = False

    @property
    def drowned(self) -> np.ndarray:
        """Whether an eigenvalue is no larger than the noise along its eigenvector (s, k)."""
        return self.full <= self.thresholds

    @property
    def places(self) -> np.ndarray:
        """Where pictures put each eigenvalue along the batch sizes (s, k): side by side, so bars are seen."""
        shifts = np.arange(len(self.full)) - (len(self.full) - 1) / 2
        return self.sizes[:, None] * 2.0 ** (0.4 * shifts / len(self.full))

    def frame(self) -> pd.DataFrame:
        """One row per batch size and eigenvalue."""
        count = len(self.full)
        columns = {
            name: getattr(self, name).ravel()
            for name in ("measured", "measured_stderr", "isotropic", "along", "along_stderr", "drowned")
        }
        return pd.DataFrame(
            {
                "batch_size": np.repeat(self.sizes, count),
                "index": np.tile(np.arange(1, count + 1), len(self.sizes)),
                "full": np.tile(self.full, len(self.sizes)),
            }
            | columns
        )

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Measured and predicted eigenvalues over the batch size; hollow where they drown in the noise."""
        ax = new_axes(ax)
        places = self.places
        lines = (
            ("all examples", {"color": "0.6", "linewidth": 1.0}, np.broadcast_to(self.full, places.shape)),
            (
                "predicted, isotropic noise",
                {"color": VERMILION, "linestyle": ":", "linewidth": 1.8},
                self.isotropic,
            ),
            ("predicted, noise along the eigenvectors", {"color": GREEN}, self.along),
        )
        for name, style, values in lines:
            drawn = ax.plot(places, values, **style)
            drawn[0].set_label(name)  # one entry in the legend for all eigenvalues
        error = 2 * self.measured_stderr.ravel()
        ax.errorbar(places.ravel(), self.measured.ravel(), error, fmt="none", ecolor=BLUE, capsize=2)
        for drowned, face, label in ((False, BLUE, "batches, ± 2 stderr"), (True, "white", "same, drowned")):
            shown = self.drowned == drowned
            if shown.any():
                ax.plot(
                    places[shown], self.measured[shown],
                    "o", color=BLUE, markerfacecolor=face, label=label, zorder=3,
                )  # fmt: skip
        ax.set_xscale("log", base=2)
        ax.set_xticks(self.sizes, [str(size) for size in self.sizes])
        ax.set_xlabel("batch size (examples); side by side, the largest first")
        ax.set_ylabel(f"largest eigenvalues of the {self.matrix}")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """What batches see, and how far the predictions are off where the directions do not drown."""
        if not len(self.sizes):
            return "nothing was measured"
        kept = ~self.drowned
        lines = [
            f"largest eigenvalue of the {self.matrix}: {self.full[0]:.4g} ± {self.residuals[0]:.1g} of all "
            f"{self.examples} examples, {self.measured[0, 0]:.4g} ± {self.measured_stderr[0, 0]:.2g} of "
            f"{self.sizes[0]} ({self.batches} batches)",
            f"{kept.sum()} of {kept.size} eigenvalues stand above the noise of their batches",
        ]
        if kept.any():
            off = [np.abs(each / self.measured - 1)[kept].max() for each in (self.isotropic, self.along)]
            lines[-1] += (
                f"; there predictions are off by up to {off[0]:.0%} (isotropic noise) and {off[1]:.0%} "
                "(noise along the eigenvectors)"
            )
        note = ", interrupted" if self.interrupted else ""
        return "\n".join([*lines, f"products worth {self.matvecs:.0f} with all examples{note}"])


def batch_spectra(
    problem: Problem,
    sizes: Sequence[int] = (8, 32, 128, 512),
    k: int = 5,
    *,
    matrix: str = "hessian",
    batches: int = 20,
    probes: int = 4,
    noise_size: int = NOISE_SIZE,
    noise_batches: int = NOISE_BATCHES,
    tol: float = 1e-3,
    max_matvecs: int | None = None,
    seed: int = 0,
) -> BatchSpectra:
    r"""Measure the largest eigenvalues of random batches' matrices, and predict them from the full one.

    Parameters
    ----------
    problem : Problem
        All examples.
    sizes : sequence of int
        Batch sizes; those larger than the number of examples are refused.
    k : int
        How many eigenvalues; fewer if the full matrix has fewer positive ones.
    matrix : {"hessian", "ggn"}
    batches : int
        Random batches at each size, drawn without replacement.
    probes : int
        Random vectors behind the isotropic noise.
    noise_size, noise_batches : int
        Size (half of the examples at most) and number of the batches that the noise is estimated from;
        independent of the measured ones.
    tol : float
        Of each eigenvalue.
    max_matvecs : int, optional
        Products at most that each search for eigenvalues takes; those that have not converged by then enter
        as they are. By default what :func:`eigenpairs` takes.
    seed : int
        Of batches and vectors.

    Returns
    -------
    BatchSpectra
        An interrupt (Ctrl-C) returns the sizes that are done.

    Raises
    ------
    ValueError
        If an option is out of range, the largest eigenvalue is not positive, or examples cannot be taken out
        of their batches.

    Notes
    -----
    The noise is unbiased: means of products with :math:`H_B - H`, H exact, and the factor of drawing without
    replacement. Five more eigenvectors than asked for enter the prediction, since what lies close below
    pushes an eigenvalue up.
    """
    check_choice("matrix", matrix, tuple(MATRICES))
    check_count("k", k, 1, problem.num_parameters)
    check_count("batches", batches, 2)
    check_count("probes", probes, 2)
    check_count("noise_size", noise_size)
    check_count("noise_batches", noise_batches, 2)
    examples = problem.num_examples
    sizes = check_sizes(sizes, examples)
    source = generator(seed)
    full = MATRICES[matrix](problem)
    top = eigenpairs(
        full, min(k + BELOW, problem.num_parameters), tol=tol, seed=seed, max_matvecs=max_matvecs
    )
    values = top.values.numpy()
    if values[0] <= top.floor:
        raise ValueError(f"the largest eigenvalue is {values[0]:.3g}: the law needs a positive one")
    values = values[values > top.floor]
    k = min(k, len(values))
    noise = measure_noise(
        problem, full, matrix, top.vectors[:, : len(values)],
        probes=probes, size=noise_size, batches=noise_batches, source=source,
    )  # fmt: skip
    measured, spent, interrupted = _measure(problem, sizes, k, matrix, batches, tol, max_matvecs, source)
    done = np.array(sizes[: len(measured)])
    return BatchSpectra(
        sizes=done,
        measured=np.array([each.mean(axis=0) for each in measured]),
        measured_stderr=np.array([standard_error(v) if len(v) > 1 else 0 * v[0] for v in measured]),
        full=values[:k],
        residuals=top.residuals[:k].numpy(),
        examples=examples,
        matrix=matrix,
        batches=batches,
        matvecs=full.matvecs + noise.matvecs + spent,
        interrupted=interrupted,
        **_predictions(values, k, noise, done),
    )


def _predictions(values: np.ndarray, k: int, noise: BatchNoise, sizes: np.ndarray) -> dict[str, Any]:
    """Fields of the result that come from the full matrix and the noise."""
    per_example, stderr = noise.per_example
    per_example_along, along_stderr = noise.per_example_along
    shares = [batch_noise(1.0, int(size), noise.examples) ** 2 for size in sizes]
    share = batch_noise(1.0, noise.size, noise.examples) ** 2
    along = [spiked_along(values, noise.within, noise.across, each / share)[:, :k] for each in shares]
    return {
        "isotropic": np.array(
            [[spiked(value, math.sqrt(each * per_example)) for value in values[:k]] for each in shares]
        ),
        "along": np.array([each.mean(axis=0) for each in along]),
        "along_stderr": np.array([standard_error(each) for each in along]),
        "thresholds": np.sqrt(np.outer(shares, per_example_along[:k])),
        "noise": per_example,
        "noise_stderr": stderr,
        "noise_along": per_example_along[:k],
        "noise_along_stderr": along_stderr[:k],
    }


def _measure(
    problem: Problem,
    sizes: Sequence[int],
    k: int,
    matrix: str,
    batches: int,
    tol: float,
    max_matvecs: int | None,
    source: torch.Generator,
) -> tuple[list[np.ndarray], float, bool]:
    """Return the eigenvalues (batches, k) of each size, the products spent, and whether it was stopped."""
    measured: list[np.ndarray] = []
    spent = 0.0
    operator: ProblemOperator | None = None
    with progress("spectra of batches", len(sizes) * batches) as advance:
        try:
            for size in sizes:
                values = []
                for _ in range(1 if size == problem.num_examples else batches):
                    operator = next_operator(operator, matrix, draw(problem, size, source))
                    pairs = eigenpairs(operator, k, tol=tol, method="lanczos", max_matvecs=max_matvecs)
                    if pairs.interrupted:
                        raise KeyboardInterrupt
                    values.append(pairs.values.numpy())
                    spent += pairs.matvecs * size / problem.num_examples
                    advance(1)
                measured.append(np.array(values))
        except KeyboardInterrupt:
            if not measured:
                raise
            return measured, spent, True
    return measured, spent, False
