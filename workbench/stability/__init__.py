"""Will this step hold? How large a step is safe, and what training does at the limit."""

from workbench.stability.linear_limits import LinearStability
from workbench.stability.minima import linear_stability

__all__ = ["LinearStability", "linear_stability"]
