"""Curvature of the loss: operators, eigenpairs, spectral density, trace."""

from workbench.curvature.density import SpectralDensity
from workbench.curvature.eigensolver import eigenpairs
from workbench.curvature.full_spectrum import Spectrum
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
from workbench.curvature.spectra import spectrum
from workbench.curvature.traces import trace

__all__ = [
    "CurvatureOperator",
    "Eigenpairs",
    "SpectralDensity",
    "Spectrum",
    "eigenpairs",
    "fisher",
    "ggn",
    "gradient_covariance",
    "hessian",
    "identity",
    "jacobian",
    "ntk",
    "spectral_density",
    "spectrum",
    "trace",
]
