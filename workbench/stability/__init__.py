"""Will this step hold? How large a step is safe, and what training does at the limit."""

from workbench.stability.linear_limits import LinearStability
from workbench.stability.minima import linear_stability
from workbench.stability.thresholds import Threshold, sharpness_threshold

__all__ = ["LinearStability", "Threshold", "linear_stability", "sharpness_threshold"]
