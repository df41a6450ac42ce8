"""Gradient descent on logistic regression with steps of any size: it becomes a perceptron."""

from workbench.stability.large_steps.bounds import budget, most_steps
from workbench.stability.large_steps.example_sets import ExampleSets, example_sets, worst_case
from workbench.stability.large_steps.followed_runs import LargeStepRuns, follow_runs
from workbench.stability.large_steps.limits import PerceptronLimit, perceptron_limit
from workbench.stability.large_steps.margins import Margins, max_margins
from workbench.stability.large_steps.solvers import SolverContest, compare_solvers
from workbench.stability.large_steps.sweeps import StepSizeSweep, sweep_step_sizes

__all__ = [
    "ExampleSets",
    "LargeStepRuns",
    "Margins",
    "PerceptronLimit",
    "SolverContest",
    "StepSizeSweep",
    "budget",
    "compare_solvers",
    "example_sets",
    "follow_runs",
    "max_margins",
    "most_steps",
    "perceptron_limit",
    "sweep_step_sizes",
    "worst_case",
]
