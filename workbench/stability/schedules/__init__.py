"""Schedules of the learning rate: the usual shapes, and those that are refined by the norms of gradients."""

from workbench.stability.schedules.online_weights import bound_of_weights, steps_of_weights
from workbench.stability.schedules.refinement import RefinedSchedule, refine_schedule
from workbench.stability.schedules.schedulers import scheduler
from workbench.stability.schedules.shapes import SHAPES, shape

__all__ = [
    "SHAPES",
    "RefinedSchedule",
    "bound_of_weights",
    "refine_schedule",
    "scheduler",
    "shape",
    "steps_of_weights",
]
