"""Random batches of a problem's examples, and how their matrices differ from that of all."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from workbench.choices import check_count
from workbench.curvature.operators import ProblemOperator
from workbench.curvature.random_matrix import noise_per_example
from workbench.curvature.tracking import MATRICES
from workbench.problem import Problem
from workbench.progress import progress
from workbench.random_vectors import random_vectors
from workbench.result import standard_error

NOISE_SIZE, NOISE_BATCHES = 32, 40  # that the noise is measured from, if nothing else is asked for


@dataclass(frozen=True)
class BatchNoise:
    r"""What some batches' matrices add to that of all examples, :math:`E = H_B - H`.

    Attributes
    ----------
    size, examples, parameters : int
        B of N examples, n parameters.
    squares : ndarray (b, p)
        :math:`\|E u\|^2` of b batches and p random unit vectors u orthogonal to V.
    within, across : ndarray (b, k, k)
        :math:`V^\top E V` and :math:`V^\top E (I - V V^\top) E V` for the columns of V, orthonormal.
    """

    size: int
    examples: int
    parameters: int
    squares: np.ndarray
    within: np.ndarray
    across: np.ndarray

    @property
    def matvecs(self) -> float:
        """Products with batches that it took, each counted as its share of all examples."""
        batches, probes = self.squares.shape
        return batches * (probes + self.within.shape[1]) * self.size / self.examples

    @property
    def per_example(self) -> tuple[float, float]:
        r"""Mean square :math:`S^2` of :math:`(H_i - H) v` over examples and unit vectors, and its stderr.

        The share of V, where most of the noise lies, is exact; random vectors measure the rest.
        """
        known = np.square(self.within).sum(axis=(1, 2)) + np.trace(self.across, axis1=1, axis2=2)
        rest = (self.parameters - self.within.shape[1]) * self.squares
        # All batches are seen through the same vectors: both means fluctuate.
        errors = standard_error(known + rest.mean(axis=1)), standard_error(rest.mean(axis=0))
        mean = known.mean() + rest.mean()
        return self._of_one(mean / self.parameters), self._of_one(np.hypot(*errors) / self.parameters)

    @property
    def per_example_along(self) -> tuple[np.ndarray, np.ndarray]:
        """The same for the columns of V, each without its own component (k,), and its stderr."""
        own = np.diagonal(self.within, axis1=1, axis2=2)
        beside = np.square(self.within).sum(axis=1) - own**2 + np.diagonal(self.across, axis1=1, axis2=2)
        scale = self._of_one(1.0)
        return scale * beside.mean(axis=0), scale * standard_error(beside)

    def _of_one(self, mean_square: float) -> float:
        return noise_per_example(float(mean_square), self.size, self.examples)


def check_sizes(sizes: Sequence[int], examples: int) -> list[int]:
    """Return batch sizes in ascending order, each once.

    Raises
    ------
    ValueError
        If there is none, or one is not from 1 to ``examples``.
    """
    if not sizes:
        raise ValueError("sizes is empty: name one batch size at least")
    for size in sizes:
        check_count("sizes", size, 1, examples)
    return sorted(set(sizes))


def draw(problem: Problem, size: int, source: torch.Generator) -> Problem:
    """Return the problem on ``size`` of its examples, drawn without replacement."""
    chosen = torch.randperm(problem.num_examples, generator=source)[:size]
    return problem.subset(chosen.sort().values)


def next_operator(last: ProblemOperator | None, matrix: str, batch: Problem) -> ProblemOperator:
    """The matrix of a batch, by the plan of the batch before it if there was one and it has its shape."""
    return MATRICES[matrix](batch, check=False) if last is None else last.on_data(batch)


def measure_noise(
    problem: Problem,
    full: ProblemOperator,
    matrix: str,
    vectors: Tensor,
    *,
    probes: int,
    size: int,
    batches: int,
    source: torch.Generator,
) -> BatchNoise:
    """Measure the noise of random batches, without bias since the matrix of all examples is exact.

    Parameters
    ----------
    problem : Problem
        All examples, two at least.
    full : ProblemOperator
        Their matrix.
    matrix : {"hessian", "ggn"}
        What it is.
    vectors : Tensor (n, k)
        Orthonormal columns V, such as the top eigenvectors.
    probes : int
        Random unit vectors beside them, orthogonal to them.
    size, batches : int
        Examples of a batch, cut to half of all, and number of batches.
    source : torch.Generator
        Of batches and vectors.

    Raises
    ------
    ValueError
        If there is one example only, or examples cannot be taken out of their batches.
    """
    examples = problem.num_examples
    if examples < 2:
        raise ValueError("batches of one example have no noise: there must be two examples at least")
    size = min(size, examples // 2)
    count = vectors.shape[1]
    basis = vectors.double().to(full.device)
    units = random_vectors(probes, problem.num_parameters, source).T.to(full.device)
    units -= basis @ (basis.T @ units)
    units /= torch.linalg.vector_norm(units, dim=0)
    block = torch.cat([basis, units], dim=1).to(full.dtype)
    clean = full @ block
    squares, within, across = [], [], []
    part: ProblemOperator | None = None
    with progress("noise of batches", batches) as advance:
        for _ in range(batches):
            part = next_operator(part, matrix, draw(problem, size, source))
            change = (part @ block - clean).double()
            inside = basis.T @ change[:, :count]
            outside = change[:, :count] - basis @ inside
            squares.append(change[:, count:].square().sum(dim=0).cpu().numpy())
            within.append(((inside + inside.T) / 2).cpu().numpy())
            across.append((outside.T @ outside).cpu().numpy())
            advance(1)
    return BatchNoise(
        size, examples, problem.num_parameters, np.array(squares), np.array(within), np.array(across)
    )
