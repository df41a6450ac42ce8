"""Will this step hold? How large a step is safe, and what training does at the limit."""

from workbench.stability import baselines, quantities, rate_advice, schedules
from workbench.stability.binding_ghosts import nearest_ghosts
from workbench.stability.control_trace import ControlTrace
from workbench.stability.controller import TaylorController
from workbench.stability.ghosts import Ghosts, zeros
from workbench.stability.layers import LayerRadii, layer_radii
from workbench.stability.linear_limits import LinearStability
from workbench.stability.minima import linear_stability
from workbench.stability.problem_radius import TaylorRadius, taylor_radius
from workbench.stability.radii import BatchRadius, LogitRadius, logit_radius, minimum_radius
from workbench.stability.rate_advice import RateLimit, rate_limit
from workbench.stability.rays import Ray, ray
from workbench.stability.scales import StepScales, step_scales
from workbench.stability.schedules import RefinedSchedule, refine_schedule
from workbench.stability.slopes import logits_and_slopes
from workbench.stability.taylor_series import TaylorSeries, series
from workbench.stability.thresholds import Threshold, sharpness_threshold
from workbench.stability.updates import update_vector

__all__ = [
    "BatchRadius",
    "ControlTrace",
    "Ghosts",
    "LayerRadii",
    "LinearStability",
    "LogitRadius",
    "RateLimit",
    "Ray",
    "RefinedSchedule",
    "StepScales",
    "TaylorController",
    "TaylorRadius",
    "TaylorSeries",
    "Threshold",
    "baselines",
    "layer_radii",
    "linear_stability",
    "logit_radius",
    "logits_and_slopes",
    "minimum_radius",
    "nearest_ghosts",
    "quantities",
    "rate_advice",
    "rate_limit",
    "ray",
    "refine_schedule",
    "schedules",
    "series",
    "sharpness_threshold",
    "step_scales",
    "taylor_radius",
    "update_vector",
    "zeros",
]
