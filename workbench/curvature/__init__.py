"""Curvature of the loss: operators, eigenpairs, spectral density, trace."""

from workbench.curvature.density import SpectralDensity
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
from workbench.curvature.traces import trace

__all__ = [
    "CurvatureOperator",
    "Eigenpairs",
    "SpectralDensity",
    "eigenpairs",
    "fisher",
    "ggn",
    "gradient_covariance",
    "hessian",
    "identity",
    "jacobian",
    "ntk",
    "spectral_density",
    "trace",
]
