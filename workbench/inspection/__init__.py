"""What a problem is before it is analysed: its data, model, gradients, activations and checkpoints."""

from workbench.inspection.activations import activity
from workbench.inspection.barrier_lines import Barriers, barriers
from workbench.inspection.batch_gradients import gradient_statistics
from workbench.inspection.descriptions import describe_problem
from workbench.inspection.gradient_noise import GradientPart, GradientStatistics
from workbench.inspection.module_activity import Activity
from workbench.inspection.problem_description import ProblemDescription
from workbench.inspection.scores import Score

__all__ = [
    "Activity",
    "Barriers",
    "GradientPart",
    "GradientStatistics",
    "ProblemDescription",
    "Score",
    "activity",
    "barriers",
    "describe_problem",
    "gradient_statistics",
]
