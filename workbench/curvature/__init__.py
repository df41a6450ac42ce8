"""Curvature of the loss: operators, eigenpairs, density, trace, slices, spectra over a training."""

from workbench.curvature.batch_densities import BatchDensities, batch_densities
from workbench.curvature.batch_spectra import BatchSpectra, batch_spectra
from workbench.curvature.class_outliers import ClassOutliers, class_outliers
from workbench.curvature.class_structure import ClassStructure, class_structure, has_classes
from workbench.curvature.density import SpectralDensity
from workbench.curvature.determinants import log_determinant
from workbench.curvature.diagonal_estimate import DiagonalEstimate
from workbench.curvature.diagonals import diagonal
from workbench.curvature.directions import (
    Directions,
    eigenvector_directions,
    line_between,
    main_directions,
    random_directions,
)
from workbench.curvature.eigensolver import eigenpairs
from workbench.curvature.full_spectrum import Spectrum
from workbench.curvature.layer_curvature import LayerCurvature, layer_curvature
from workbench.curvature.loss_slice import LossSlice
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
from workbench.curvature.random_matrix import BulkFit, fit_bulk
from workbench.curvature.slices import slice_loss
from workbench.curvature.spectra import spectrum
from workbench.curvature.traces import frobenius_norm, trace
from workbench.curvature.tracking import along
from workbench.curvature.trajectory import Trajectory

__all__ = [
    "BatchDensities",
    "BatchSpectra",
    "BulkFit",
    "ClassOutliers",
    "ClassStructure",
    "CurvatureOperator",
    "DiagonalEstimate",
    "Directions",
    "Eigenpairs",
    "LayerCurvature",
    "LossSlice",
    "SpectralDensity",
    "Spectrum",
    "Trajectory",
    "along",
    "batch_densities",
    "batch_spectra",
    "class_outliers",
    "class_structure",
    "diagonal",
    "eigenpairs",
    "eigenvector_directions",
    "fisher",
    "fit_bulk",
    "frobenius_norm",
    "ggn",
    "gradient_covariance",
    "has_classes",
    "hessian",
    "identity",
    "jacobian",
    "layer_curvature",
    "line_between",
    "log_determinant",
    "main_directions",
    "ntk",
    "random_directions",
    "slice_loss",
    "spectral_density",
    "spectrum",
    "trace",
]
