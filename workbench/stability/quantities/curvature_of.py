"""The Hessian of a moment, and the search for the top of a matrix nearby one that was searched before."""

from typing import Any

from torch import Tensor

from workbench.curvature import CurvatureOperator, eigenpairs, hessian
from workbench.moment import Reading
from workbench.problem import Problem

PRODUCT = 2.0  # gradients that a Hessian product takes
PRODUCTS = 13  # of a search that starts near the eigenvector, its residual included
_MOST = 300  # products, for a spectrum without a gap


def loss_hessian(problem: Problem) -> CurvatureOperator:
    """Return the Hessian of the loss; unprobed, since :func:`check_hessian` did that before the training."""
    return hessian(problem, check=False)


def check_hessian(problem: Problem) -> None:
    """Refuse a loss without second derivatives, by a small batch.

    Raises
    ------
    ValueError
        If products are not those of a Hessian.
    """
    hessian(problem).plan()


class TopEigenvalue:
    """Finds the largest eigenvalue of one matrix after the other, each from the last eigenvector.

    Parameters
    ----------
    tol : float
        Residual norm, relative to the eigenvalue.
    seed : int
        Of the start vectors.
    """

    def __init__(self, tol: float, seed: int) -> None:
        self.tol, self.seed = tol, seed
        self._last: dict[str, Tensor] = {}

    def find(self, operator: Any, layer: str = "") -> Reading:
        """Return the eigenvalue and its residual norm: within that distance there is one.

        The search begins where the last one of this layer ended. An interrupt (Ctrl-C) is passed on: it is
        meant for the training.
        """
        pairs = eigenpairs(
            operator,
            1,
            tol=self.tol,
            start=self._last.get(layer),
            seed=self.seed,
            max_matvecs=_MOST,
            method="lanczos",
        )
        if pairs.interrupted:
            raise KeyboardInterrupt
        self._last[layer] = pairs.vectors
        return Reading(pairs.values[0].item(), pairs.residuals[0].item())
