"""Curvature as matrix-free operators: the base, and one file per operator."""

from workbench.curvature.operators.algebra import BlockDiagonal, Combination, Identity, LowRank
from workbench.curvature.operators.base import CurvatureOperator
from workbench.curvature.operators.deflated import Deflated
from workbench.curvature.operators.fisher import EmpiricalFisher, SampledFisher
from workbench.curvature.operators.ggn import GGN
from workbench.curvature.operators.hessian import Hessian
from workbench.curvature.operators.jacobian import Jacobian, TangentKernel
from workbench.curvature.operators.problem_operator import ProblemOperator
from workbench.curvature.operators.wrapped import WrappedOperator, as_operator

__all__ = [
    "GGN",
    "BlockDiagonal",
    "Combination",
    "CurvatureOperator",
    "Deflated",
    "EmpiricalFisher",
    "Hessian",
    "Identity",
    "Jacobian",
    "LowRank",
    "ProblemOperator",
    "SampledFisher",
    "TangentKernel",
    "WrappedOperator",
    "as_operator",
]
