"""Built-in problems on real data, and the loader of problems; light to import."""

from workbench.problems.registry import ProblemCard, check_name, list_problems, load_problem

__all__ = ["ProblemCard", "check_name", "list_problems", "load_problem"]
