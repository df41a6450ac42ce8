"""Schedules of the learning rate: the usual shapes, those refined by gradient norms, and a contest of all."""

from workbench.stability.schedules.logistic_suite import LOGISTIC_SUITE
from workbench.stability.schedules.online_weights import bound_of_weights, steps_of_weights
from workbench.stability.schedules.refinement import RefinedSchedule, refine_schedule
from workbench.stability.schedules.schedulers import scheduler
from workbench.stability.schedules.shapes import SHAPES, shape
from workbench.stability.schedules.two_pass import ScheduleContest, compare_schedules

__all__ = [
    "LOGISTIC_SUITE",
    "SHAPES",
    "RefinedSchedule",
    "ScheduleContest",
    "bound_of_weights",
    "compare_schedules",
    "refine_schedule",
    "scheduler",
    "shape",
    "steps_of_weights",
]
