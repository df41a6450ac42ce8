"""Gradient-normalised smoothness, and the second-order methods that live by it."""

from workbench.stability.smoothness.cubic_descents import cubic_newton
from workbench.stability.smoothness.descent_contests import METHODS, DescentContest, compare_descents
from workbench.stability.smoothness.descents import Descent
from workbench.stability.smoothness.krylov_systems import KrylovSystems
from workbench.stability.smoothness.model_matrices import MATRICES, LowRank, model_matrix
from workbench.stability.smoothness.newton_descents import regularised_newton
from workbench.stability.smoothness.quasi_newton_descents import quasi_newton
from workbench.stability.smoothness.smooth_objectives import (
    OBJECTIVES,
    log_sum_exp_problem,
    logistic_problem,
    network_problem,
    softmax_problem,
    weighted_gauss_newton,
)
from workbench.stability.smoothness.smoothness_paths import SmoothnessPath, smoothness_along
from workbench.stability.smoothness.smoothness_radii import (
    DIRECTIONS,
    GradientSmoothness,
    gradient_smoothness,
)

__all__ = [
    "DIRECTIONS",
    "MATRICES",
    "METHODS",
    "OBJECTIVES",
    "Descent",
    "DescentContest",
    "GradientSmoothness",
    "KrylovSystems",
    "LowRank",
    "SmoothnessPath",
    "compare_descents",
    "cubic_newton",
    "gradient_smoothness",
    "log_sum_exp_problem",
    "logistic_problem",
    "model_matrix",
    "network_problem",
    "quasi_newton",
    "regularised_newton",
    "smoothness_along",
    "softmax_problem",
    "weighted_gauss_newton",
]
