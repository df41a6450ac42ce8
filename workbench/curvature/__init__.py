"""Curvature of the loss: operators, eigenpairs, spectral density, trace, slices, spectra over a training."""

from workbench.curvature.density import SpectralDensity
from workbench.curvature.directions import Directions, line_between, main_directions, random_directions
from workbench.curvature.eigensolver import eigenpairs
from workbench.curvature.loss_slice import LossSlice
from workbench.curvature.operators import GGN, CurvatureOperator, Hessian, ProblemOperator
from workbench.curvature.pairs import Eigenpairs
from workbench.curvature.quadrature import spectral_density
from workbench.curvature.slices import slice_loss
from workbench.curvature.traces import trace
from workbench.curvature.tracking import along
from workbench.curvature.trajectory import Trajectory
from workbench.problem import Problem

__all__ = [
    "CurvatureOperator",
    "Directions",
    "Eigenpairs",
    "LossSlice",
    "SpectralDensity",
    "Trajectory",
    "along",
    "eigenpairs",
    "ggn",
    "hessian",
    "line_between",
    "main_directions",
    "random_directions",
    "slice_loss",
    "spectral_density",
    "trace",
]


def hessian(
    problem: Problem,
    *,
    regularization: bool = False,
    memory: int | str | None = None,
    plan: str = "fixed",
    check: bool = True,
) -> ProblemOperator:
    """Return the Hessian of the loss as a matrix-free operator; see :class:`~.operators.hessian.Hessian`.

    Parameters
    ----------
    problem : Problem
        What is analysed.
    regularization : bool
        Add the problem's regulariser and weight decay; ``.terms`` says what is in.

    memory : int or str, optional
        What may be kept between products, e.g. ``"4GB"``; by default half of what is free. 0 keeps nothing.
    plan : {"fixed", "auto"}
        How products are done: by rules, or by timing the candidates; ``.plan()`` says which and why.
    check : bool
        Probe products for symmetry and against differences of the gradient before the first one is given.

    Raises
    ------
    ValueError
        At the first product, if something in the model or the loss has no second derivative, or a wrong one;
        at a later one, if the model or a kept batch changed.
    """
    return Hessian(problem, regularization=regularization, memory=memory, plan=plan, check=check)


def ggn(
    problem: Problem,
    *,
    regularization: bool = False,
    memory: int | str | None = None,
    plan: str = "fixed",
    check: bool = True,
) -> ProblemOperator:
    """Return the generalised Gauss-Newton matrix as an operator; see :class:`~.operators.ggn.GGN`.

    Parameters
    ----------
    problem : Problem
        What is analysed.
    regularization : bool
        Add the Hessian of the problem's regulariser and weight decay; ``.terms`` says what is in.

    memory : int or str, optional
        What may be kept between products, e.g. ``"4GB"``; by default half of what is free. 0 keeps nothing.
    plan : {"fixed", "auto"}
        How products are done: by rules, or by timing the candidates; ``.plan()`` says which and why.
    check : bool
        Probe products for symmetry and against differences of the gradient before the first one is given.

    Raises
    ------
    ValueError
        At the first product, if something in the model or the loss has no second derivative, or a wrong one;
        at a later one, if the model or a kept batch changed.
    """
    return GGN(problem, regularization=regularization, memory=memory, plan=plan, check=check)
