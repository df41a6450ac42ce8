"""What a product with a batch's matrix takes on this machine, for estimates."""

import time
from dataclasses import dataclass

import torch

from workbench.curvature.tracking import MATRICES
from workbench.explore.curvature_parts import product_seconds
from workbench.explore.view import Values
from workbench.problem import Problem


@dataclass(frozen=True)
class BatchCost:
    """Seconds for making an operator and its first product, and for each of the others."""

    first: float
    other: float

    def of(self, products: int) -> float:
        """Seconds for this many products with one operator."""
        return self.first + products * self.other


def batch_cost(problem: Problem, matrix: str, size: int) -> BatchCost:
    """Time two products with the matrix of the first ``size`` examples (all at most)."""
    part = problem.subset(torch.arange(min(size, problem.num_examples)))
    started = time.monotonic()
    other = product_seconds(MATRICES[matrix](part, check=False))
    return BatchCost(time.monotonic() - started - other, other)


def usable_sizes(problem: Problem, values: Values) -> list[int]:
    """Return the batch sizes asked for, those beyond the number of examples cut to it."""
    return sorted({min(size, problem.num_examples) for size in values["sizes"]})


def sizes_code(values: Values) -> str:
    """Return the line of code that does the same."""
    return f"sizes = sorted({{min(size, problem.num_examples) for size in {values['sizes']}}})\n"
