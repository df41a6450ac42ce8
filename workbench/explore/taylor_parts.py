"""What the views of the Taylor radius share: the direction, the code for it, and what it costs."""

from typing import Any

from workbench.curvature import hessian
from workbench.explore.curvature_parts import eigenpairs_of, product_seconds, search_cost
from workbench.explore.view import Cost, Values
from workbench.problem import Problem

_SEARCH = {"operator": "hessian", "k": 1, "which": "LA", "tolerance": 1e-3}


def direction_of(problem: Problem, values: Values) -> Any:
    """What the control ``direction`` names: a word, or the largest eigenpair of the Hessian."""
    if values["direction"] != "eigenvector":
        return values["direction"]
    return eigenpairs_of(problem, _SEARCH | {"seed": values["seed"]})


def direction_code(values: Values) -> tuple[str, str]:
    """Return calls that come first, from ``problem`` on, and the name of the direction after them."""
    lines = "import workbench as wb\n\n"
    if values["direction"] != "eigenvector":
        return lines, repr(values["direction"])
    seed = f", seed={values['seed']}"
    return lines + f"pairs = wb.curvature.eigenpairs(wb.curvature.hessian(problem), 1{seed})\n", "pairs"


def direction_cost(problem: Problem, values: Values) -> Cost:
    """What the search for an eigenvector is expected to take; a gradient is not counted."""
    if values["direction"] != "eigenvector":
        return Cost(0.0, 0.0)
    operator = hessian(problem)
    return search_cost(operator, 1, product_seconds(operator))
