"""What the views of curvature share: the matrix, its eigenpairs, the code for them, and what they cost."""

import time

import torch

from workbench.curvature import CurvatureOperator, Eigenpairs, eigenpairs
from workbench.curvature.eigensolver import DENSE_SIZE
from workbench.curvature.tracking import MATRICES
from workbench.explore.remembered import remembered, result_key
from workbench.explore.view import Cost, Values
from workbench.problem import Problem

_ASKED = ("operator", "k", "which", "tolerance", "seed")  # what eigenpairs depend on


def operator_of(problem: Problem, values: Values) -> CurvatureOperator:
    """Return the matrix that the control ``operator`` names."""
    return MATRICES[values["operator"]](problem)


def eigenpairs_of(problem: Problem, values: Values, operator: CurvatureOperator | None = None) -> Eigenpairs:
    """Return the eigenpairs that the controls ask for: computed once for all views.

    Raises
    ------
    KeyboardInterrupt
        If the search was interrupted: half of it is not kept.
    """
    asked = {name: values[name] for name in _ASKED}

    def compute() -> dict[str, Eigenpairs]:
        matrix = operator_of(problem, values) if operator is None else operator
        k = min(values["k"], problem.num_parameters)
        pairs = eigenpairs(matrix, k, values["which"], tol=values["tolerance"], seed=values["seed"])
        if pairs.interrupted:
            raise KeyboardInterrupt
        return {"eigenpairs": pairs}

    results, _ = remembered(result_key("eigenpairs", problem, asked), compute)
    pairs = results["eigenpairs"]
    assert isinstance(pairs, Eigenpairs)
    return pairs


def eigenpairs_code(values: Values) -> str:
    """Return the calls that give the same eigenpairs, from ``problem`` on."""
    return (
        "import workbench as wb\n\n"
        f"operator = wb.curvature.{values['operator']}(problem)\n"
        f"pairs = wb.curvature.eigenpairs(\n"
        f"    operator, min({values['k']}, problem.num_parameters), {values['which']!r}, "
        f"tol={values['tolerance']}, seed={values['seed']}\n"
        ")\n"
    )


def product_seconds(operator: CurvatureOperator) -> float:
    """Time a second product with one vector; the first also checks the graph."""
    vector = torch.ones(operator.shape[0], dtype=operator.dtype, device=operator.device)
    operator @ vector
    started = time.monotonic()
    operator @ vector
    return time.monotonic() - started


def search_cost(operator: CurvatureOperator, k: int, product: float) -> Cost:
    """What a search for k eigenpairs is expected to take, from the seconds of a product."""
    n = operator.shape[0]
    return Cost(product * search_products(n, k), (3 * k + 60) * n * operator.dtype.itemsize)


def search_products(n: int, k: int) -> int:
    """Products that a search for k eigenpairs of n is expected to take; all columns where that is dense."""
    return n if n <= DENSE_SIZE else lanczos_products(k)


def lanczos_products(k: int) -> int:
    """Products that Lanczos' method is expected to take for k eigenpairs, whatever the size."""
    return 3 * k + 20
