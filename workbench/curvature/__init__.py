"""Curvature of the loss: operators, eigenpairs, spectral density, trace."""

from workbench.curvature.density import SpectralDensity
from workbench.curvature.determinants import log_determinant
from workbench.curvature.diagonal_estimate import DiagonalEstimate
from workbench.curvature.diagonals import diagonal
from workbench.curvature.eigensolver import eigenpairs
from workbench.curvature.matrices import (
    fisher,
    ggn,
    gradient_covariance,
    hessian,
    identity,
    jacobian,
    ntk,
)
from workbench.curvature.operators import CurvatureOperator
from workbench.curvature.pairs import Eigenpairs
from workbench.curvature.quadrature import spectral_density
from workbench.curvature.traces import frobenius_norm, trace

__all__ = [
    "CurvatureOperator",
    "DiagonalEstimate",
    "Eigenpairs",
    "SpectralDensity",
    "diagonal",
    "eigenpairs",
    "fisher",
    "frobenius_norm",
    "ggn",
    "gradient_covariance",
    "hessian",
    "identity",
    "jacobian",
    "log_determinant",
    "ntk",
    "spectral_density",
    "trace",
]
