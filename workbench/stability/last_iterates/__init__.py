"""How good the last iterate of a stochastic gradient method is: many runs, bounds, a worst case."""

from workbench.stability.last_iterates.iterate_bounds import last_iterate_bound
from workbench.stability.last_iterates.rate_fits import Slope, fitted_slope
from workbench.stability.last_iterates.runs import SampledRuns, sample_runs
from workbench.stability.last_iterates.step_rules import RULES, rule_steps
from workbench.stability.last_iterates.worst_cases import WorstCase, worst_case

__all__ = [
    "RULES",
    "SampledRuns",
    "Slope",
    "WorstCase",
    "fitted_slope",
    "last_iterate_bound",
    "rule_steps",
    "sample_runs",
    "worst_case",
]
