"""Stochastic estimators: what each draws, keeps and concludes; one method a file."""

from workbench.curvature.estimators.diagonal_samples import exact_samples
from workbench.curvature.estimators.estimate import estimate
from workbench.curvature.estimators.hutch_plus_plus import HutchPlusPlus
from workbench.curvature.estimators.hutchinson import Hutchinson
from workbench.curvature.estimators.hutchinson_diagonal import HutchinsonDiagonal
from workbench.curvature.estimators.sampling import DISTRIBUTIONS, Probes, Sampler, Samples, finite, sample
from workbench.curvature.estimators.xdiag import XDiag
from workbench.curvature.estimators.xtrace import XTrace

__all__ = [
    "DISTRIBUTIONS",
    "HutchPlusPlus",
    "Hutchinson",
    "HutchinsonDiagonal",
    "Probes",
    "Sampler",
    "Samples",
    "XDiag",
    "XTrace",
    "estimate",
    "exact_samples",
    "finite",
    "sample",
]
