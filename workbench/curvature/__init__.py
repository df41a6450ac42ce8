"""Curvature of the loss: operators, eigenpairs, spectral density, trace."""

from workbench.curvature.density import SpectralDensity
from workbench.curvature.eigensolver import eigenpairs
from workbench.curvature.operators import GGN, CurvatureOperator, Hessian
from workbench.curvature.pairs import Eigenpairs
from workbench.curvature.quadrature import spectral_density
from workbench.curvature.traces import trace
from workbench.problem import Problem

__all__ = [
    "CurvatureOperator",
    "Eigenpairs",
    "SpectralDensity",
    "eigenpairs",
    "ggn",
    "hessian",
    "spectral_density",
    "trace",
]


def hessian(problem: Problem, *, regularization: bool = False) -> CurvatureOperator:
    """Return the Hessian of the loss as a matrix-free operator; see :class:`~.operators.hessian.Hessian`.

    Parameters
    ----------
    problem : Problem
        What is analysed.
    regularization : bool
        Add the problem's regulariser and weight decay; ``.terms`` says what is in.

    Raises
    ------
    ValueError
        At the first product, if something in the model or the loss has no second derivative.
    """
    return Hessian(problem, regularization=regularization)


def ggn(problem: Problem, *, regularization: bool = False) -> CurvatureOperator:
    """Return the generalised Gauss-Newton matrix as an operator; see :class:`~.operators.ggn.GGN`.

    Parameters
    ----------
    problem : Problem
        What is analysed.
    regularization : bool
        Add the Hessian of the problem's regulariser and weight decay; ``.terms`` says what is in.

    Raises
    ------
    ValueError
        At the first product, if something in the model or the loss has no second derivative.
    """
    return GGN(problem, regularization=regularization)
