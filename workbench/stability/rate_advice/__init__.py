"""Which learning rates a training survives: found by training, not by a formula."""

from workbench.chance import chance_loss
from workbench.stability.rate_advice.limits import RateLimit, rate_limit
from workbench.stability.rate_advice.shares import RateShares, rate_shares
from workbench.stability.rate_advice.short_runs import ShortRuns

__all__ = ["RateLimit", "RateShares", "ShortRuns", "chance_loss", "rate_limit", "rate_shares"]
