"""Which learning rates a training survives: found by training, not by a formula."""

from workbench.chance import chance_loss
from workbench.stability.rate_advice.costs import RateCost, rate_limit_cost
from workbench.stability.rate_advice.guesses import guess_from_sharpness
from workbench.stability.rate_advice.limits import RateLimit, rate_limit
from workbench.stability.rate_advice.makers import Maker, find_maker, remake_optimizer
from workbench.stability.rate_advice.searches import USUAL_RUNS
from workbench.stability.rate_advice.shares import RateShares, rate_shares
from workbench.stability.rate_advice.short_runs import ShortRuns

__all__ = [
    "USUAL_RUNS",
    "Maker",
    "RateCost",
    "RateLimit",
    "RateShares",
    "ShortRuns",
    "chance_loss",
    "find_maker",
    "guess_from_sharpness",
    "rate_limit",
    "rate_limit_cost",
    "rate_shares",
    "remake_optimizer",
]
