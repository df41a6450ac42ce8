"""How large a step is safe."""

from workbench.stability.problem_radius import TaylorRadius, taylor_radius
from workbench.stability.radii import BatchRadius, LogitRadius, logit_radius, minimum_radius
from workbench.stability.slopes import logits_and_slopes
from workbench.stability.taylor_series import TaylorSeries, series

__all__ = [
    "BatchRadius",
    "LogitRadius",
    "TaylorRadius",
    "TaylorSeries",
    "logit_radius",
    "logits_and_slopes",
    "minimum_radius",
    "series",
    "taylor_radius",
]
