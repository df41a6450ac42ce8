"""The matrices by which a gradient is linearised: the Hessian, and what stands in for it."""

import warnings
from collections.abc import Callable
from typing import Any

from torch import Tensor

from workbench.choices import check_choice
from workbench.curvature.eigensolver import eigenpairs
from workbench.curvature.matrices import fisher, ggn, hessian, identity
from workbench.curvature.operators.base import CurvatureOperator
from workbench.problem import Problem

Matrix = str | Callable[[Problem], Any]
MATRICES = ("hessian", "ggn", "fisher", "low rank", "none")


def model_matrix(problem: Problem, matrix: Matrix, rank: int = 10) -> Any:
    """Return an approximation of the Hessian of a problem where it stands.

    Parameters
    ----------
    problem : Problem
    matrix : {"hessian", "ggn", "fisher", "low rank", "none"} or callable
        The Fisher matrix is the empirical one, the mean of the outer products of the examples' gradients.
        ``"low rank"`` is :class:`LowRank`, ``"none"`` zero. A callable of the problem returns anything with
        ``shape`` and ``@``.
    rank : int
        Eigenpairs of ``"low rank"``.

    Raises
    ------
    ValueError
        If there is no matrix of that name.
    """
    if callable(matrix):
        return matrix(problem)
    check_choice("matrix", matrix, MATRICES)
    if matrix == "none":
        return 0 * identity(hessian(problem, memory=0, check=False))
    if matrix == "fisher":
        return fisher(problem, "empirical", check=False)
    if matrix == "ggn":
        return ggn(problem, check=False)
    whole = hessian(problem, check=False)
    return whole if matrix == "hessian" else LowRank(whole, rank)


def matrix_name(matrix: Matrix) -> str:
    """Return what a matrix is called in results."""
    return matrix if isinstance(matrix, str) else "given"


def spent_on(op: Any, products: int | None = None) -> int:
    """Return how many products over the data a matrix cost; by default its own count.

    Those of a low-rank matrix need no data: what its eigenpairs took counts.
    """
    if isinstance(op, LowRank):
        return op.spent
    return op.matvecs if products is None else products


class LowRank(CurvatureOperator):
    r"""The eigenpairs of A with the largest absolute eigenvalues, by Lanczos, and zero beside them.

    Negative eigenvalues are taken by their absolute value, so that the matrix is positive semidefinite.

    Parameters
    ----------
    whole : CurvatureOperator
        A. Its ``matvecs`` count what the eigenpairs cost.
    rank : int
        At most n.
    """

    def __init__(self, whole: CurvatureOperator, rank: int) -> None:
        super().__init__(whole.shape[0], whole.dtype, whole.device, precision=whole.precision)
        method = "lanczos" if whole.shape[0] > 4 * rank else "dense"
        with warnings.catch_warnings():  # pairs that did not converge are a rougher model, and no fault
            warnings.simplefilter("ignore", RuntimeWarning)
            pairs = eigenpairs(whole, min(rank, whole.shape[0]), "LM", tol=1e-3, method=method)
        if pairs.interrupted:
            raise KeyboardInterrupt
        self._vectors = pairs.vectors.to(whole.device, whole.dtype)
        self._values = pairs.values.to(whole.device, whole.dtype).abs()
        self.spent = whole.matvecs

    def _multiply(self, block: Tensor) -> Tensor:
        return self._vectors @ (self._values[:, None] * (self._vectors.T @ block))
