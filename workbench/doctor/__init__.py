"""``doctor``: what is wrong with this machine and environment, and what to do about it."""

from workbench.doctor.checks import examine
from workbench.doctor.finding import OK, PROBLEM, WARNING, Finding

__all__ = ["OK", "PROBLEM", "WARNING", "Finding", "examine"]
