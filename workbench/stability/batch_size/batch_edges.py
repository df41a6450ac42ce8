"""``batch_edges``: both ends of the Hessian's spectrum as batches of one size see it, from a few products."""

import warnings
from dataclasses import dataclass

import numpy as np
import torch

from workbench.curvature import eigenpairs, hessian
from workbench.curvature.random_matrix import batch_noise, noise_per_example
from workbench.problem import Problem
from workbench.result import standard_error
from workbench.stability.batch_size.rate_laws import HeavyBall, heavy_ball
from workbench.stability.quantities.curvature_of import PRODUCT

TOLERANCE = 0.05  # of the eigenvalues: their noise from batch to batch is larger
_MOST = 40  # products of a search
_FLOOR = 1e-4  # of the largest curvature: what counts as the least


@dataclass(frozen=True)
class BatchEdges:
    r"""The largest and the smallest eigenvalue, on some of the examples and corrected for batches.

    Attributes
    ----------
    values : ndarray (2,)
        :math:`\lambda_1, \lambda_n` of the examples that were looked at.
    residuals : ndarray (2,)
        Their residual norms.
    corrected, stderr : ndarray (2,)
        What batches see, and the standard error from the noise: :math:`\lambda_1 > 0` and
        :math:`\lambda_n < 0` moved outwards by the spiked law with
        :math:`\rho^2 = \rho_B^2 - \rho_m^2`, where :math:`\rho_m` is what the m examples already add. Other
        signs stay, as the law is of outliers and a positive :math:`\lambda_n` can only fall in the mean; so
        does what is zero within its residual.
    cost : float
        Gradients over all the data that it took, two for each product.
    """

    values: np.ndarray
    residuals: np.ndarray
    corrected: np.ndarray
    stderr: np.ndarray
    cost: float

    def used(self, *, corrected: bool = True) -> np.ndarray:
        """Corrected values (2,), or those of the examples as they are."""
        return self.corrected if corrected else self.values

    def heavy_ball(self, *, corrected: bool = True) -> HeavyBall:
        """Rate and momentum for what batches see; of negative curvature the magnitude."""
        low, high = np.sort(np.abs(self.used(corrected=corrected)))
        return heavy_ball(float(high), float(max(low, _FLOOR * high)))


def batch_edges(problem: Problem, batch_size: int, examples: int, source: torch.Generator) -> BatchEdges:
    r"""Measure both ends of the spectrum on random examples, and correct them for the noise of batches.

    The noise across each eigenvector comes from the same examples, split into batches: one more product with
    both vectors, without bias.

    Parameters
    ----------
    problem : Problem
        All the data, N examples.
    batch_size : int
        B; half of ``examples`` at most.
    examples : int
        m of N, drawn without replacement.
    source : torch.Generator
        Of the examples.

    Raises
    ------
    ValueError
        If examples cannot be taken out of their batches, or the loss is not finite.

    Notes
    -----
    Cost: some 15 products with the m examples. The correction is the law of
    :func:`~workbench.curvature.random_matrix.spiked`, threshold and edge included, with the noise along the
    eigenvector; that it starts from what m examples see is derived here.
    """
    total = problem.num_examples
    chosen = torch.randperm(total, generator=source)[:examples]
    operator = hessian(problem.subset(chosen.sort().values), check=False)
    with warnings.catch_warnings():  # the residuals are in the result
        warnings.simplefilter("ignore", RuntimeWarning)
        pairs = eigenpairs(operator, 2, "BE", tol=TOLERANCE, method="lanczos", max_matvecs=_MOST)
    if pairs.interrupted:
        raise KeyboardInterrupt
    vectors = pairs.vectors.to(operator.dtype)
    clean = operator @ vectors
    squares = []
    for part in chosen.split(batch_size)[: examples // batch_size]:  # a shorter last one is left out
        noisy = hessian(problem.subset(part.sort().values), check=False) @ vectors
        change = (noisy - clean).double()
        change -= vectors * (vectors * change).sum(dim=0)
        squares.append(change.square().sum(dim=0).numpy())
    values, residuals = pairs.values.numpy(), pairs.residuals.numpy()
    corrected, stderr = _seen(values, residuals, _added(batch_size, examples, total) * np.array(squares))
    return BatchEdges(
        values=values,
        residuals=residuals,
        corrected=corrected,
        stderr=stderr,
        cost=PRODUCT * (operator.matvecs + vectors.shape[1]) * examples / total,
    )


def _seen(values: np.ndarray, residuals: np.ndarray, squares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both ends (2,) as batches see them, and their standard errors, from squares (b, 2) of the noise."""
    square = np.maximum(squares.mean(axis=0), np.finfo(float).tiny)
    scale = np.maximum(np.abs(values), np.sqrt(square))  # below the noise it is 2 ρ, the edge
    outwards = np.array([1, -1])
    zero = np.maximum(residuals, _FLOOR * np.abs(values).max())
    moved = outwards * values > zero
    corrected = np.where(moved, outwards * (scale + square / scale), values)
    return corrected, np.where(moved, standard_error(squares) / scale, 0.0)


def _added(batch_size: int, examples: int, total: int) -> float:
    """Mean square of a batch's noise beyond that of the m examples, in units of that within these."""
    single = noise_per_example(1.0, batch_size, examples)
    return batch_noise(single, batch_size, total) ** 2 - batch_noise(single, examples, total) ** 2
