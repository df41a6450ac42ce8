"""How large a step is safe."""

from workbench.stability.ghosts import Ghosts, zeros
from workbench.stability.layers import LayerRadii, layer_radii
from workbench.stability.problem_radius import TaylorRadius, taylor_radius
from workbench.stability.radii import BatchRadius, LogitRadius, logit_radius, minimum_radius
from workbench.stability.slopes import logits_and_slopes
from workbench.stability.taylor_series import TaylorSeries, series

__all__ = [
    "BatchRadius",
    "Ghosts",
    "LayerRadii",
    "LogitRadius",
    "TaylorRadius",
    "TaylorSeries",
    "layer_radii",
    "logit_radius",
    "logits_and_slopes",
    "minimum_radius",
    "series",
    "taylor_radius",
    "zeros",
]
