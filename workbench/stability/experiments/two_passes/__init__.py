"""Schedules in trainings: a first pass for the norms of gradients, a second one with what they ask for."""

from workbench.stability.experiments.two_passes.logistic_suite import LOGISTIC_SUITE
from workbench.stability.experiments.two_passes.schedule_contest import ScheduleContest, compare_schedules

__all__ = ["LOGISTIC_SUITE", "ScheduleContest", "compare_schedules"]
