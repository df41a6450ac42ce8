"""Low-rank adaptation: what DoRA's norm costs, what its gain keeps, and what training by it comes to."""

from workbench.adaptation.contest import AdaptationContest, compare_adaptations
from workbench.adaptation.costs import NormCosts, norm_costs
from workbench.adaptation.curvatures import AdaptationCurvature, adaptation_curvature
from workbench.adaptation.gains import GainErrors, gain_errors

__all__ = [
    "AdaptationContest",
    "AdaptationCurvature",
    "GainErrors",
    "NormCosts",
    "adaptation_curvature",
    "compare_adaptations",
    "gain_errors",
    "norm_costs",
]
