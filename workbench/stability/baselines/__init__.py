"""What else keeps steps in bounds: clipping, caps on the length, line searches, and a search of the rate."""

from workbench.stability.baselines.armijo import armijo_step
from workbench.stability.baselines.clipping import clipped_step
from workbench.stability.baselines.length_cap import LengthCap
from workbench.stability.baselines.polyak import polyak_step
from workbench.stability.baselines.rate_range import RateRange
from workbench.stability.baselines.rate_test import find_rate

__all__ = ["LengthCap", "RateRange", "armijo_step", "clipped_step", "find_rate", "polyak_step"]
