"""Will this step hold? How large a step is safe, and what training does at the limit."""

from workbench.stability import baselines, quantities
from workbench.stability.control_trace import ControlTrace
from workbench.stability.controller import TaylorController
from workbench.stability.ghosts import Ghosts, zeros
from workbench.stability.layers import LayerRadii, layer_radii
from workbench.stability.problem_radius import TaylorRadius, taylor_radius
from workbench.stability.radii import BatchRadius, LogitRadius, logit_radius, minimum_radius
from workbench.stability.slopes import logits_and_slopes
from workbench.stability.taylor_series import TaylorSeries, series
from workbench.stability.updates import update_vector

__all__ = [
    "BatchRadius",
    "ControlTrace",
    "Ghosts",
    "LayerRadii",
    "LogitRadius",
    "TaylorController",
    "TaylorRadius",
    "TaylorSeries",
    "baselines",
    "layer_radii",
    "logit_radius",
    "logits_and_slopes",
    "minimum_radius",
    "quantities",
    "series",
    "taylor_radius",
    "update_vector",
    "zeros",
]
