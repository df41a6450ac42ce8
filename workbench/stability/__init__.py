"""How large a step is safe."""

from workbench.stability import baselines
from workbench.stability.control_trace import ControlTrace
from workbench.stability.controller import TaylorController
from workbench.stability.radii import LogitRadius, logit_radius
from workbench.stability.slopes import logits_and_slopes
from workbench.stability.updates import update_vector

__all__ = [
    "ControlTrace",
    "LogitRadius",
    "TaylorController",
    "baselines",
    "logit_radius",
    "logits_and_slopes",
    "update_vector",
]
