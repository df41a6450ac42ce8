"""A probe of products against central differences, for functions whose backward was written by hand.

A fused loss or layer often returns from its backward numbers that were computed without a graph. First
derivatives are right then, and torch says nothing, but the second derivative lacks that function's part.
"""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from workbench.batches import count_examples, slice_batch

if TYPE_CHECKING:
    from workbench.curvature.operators.problem_operator import ProblemOperator

# In float64 nothing but a missing part shows. In float32 rounding and kinks do where few examples have a loss
# left, but then the steps disagree as well: a fused loss is off by a half to 1 while they agree to 1e-3.
_MISMATCH = {torch.float64: 0.05, torch.float32: 0.3}
_AGREEMENT = 30  # how much closer than the product two differences must be to each other
_STEPS = (1e-3, 1e-4, 1e-5, 1e-6)  # relative to the parameters
_EXAMPLES = 4  # few, since a step past the kink of a ReLU is more likely with many


def check_products(operator: "ProblemOperator", functions: Sequence[str]) -> None:
    """Hold the products with the first batch, in two directions, against differences of gradients.

    In a float64 copy of the problem where its functions know float64, else as it is. Cost: some ten gradients
    of one batch.

    Raises
    ------
    ValueError
        If a product is grossly wrong in both directions, whichever the step.
    """
    try:
        mismatch, dtype = _measure(operator.of(operator.problem.to(dtype=torch.float64))), torch.float64
    except (RuntimeError, TypeError, ValueError, NotImplementedError):  # e.g. a kernel for float32 alone
        dtype = operator.problem.coarsest_dtype
        if dtype not in _MISMATCH:
            return  # too coarse for differences
        # A fused loss takes all away from a Gauss-Newton matrix, but far from a minimum little of a Hessian.
        mismatch = max(_measure(operator), _measure(operator.gauss_newton()))
    if mismatch > _MISMATCH[dtype]:
        raise ValueError(
            f"a product is off by {mismatch:.0%} from differences of the gradient: the backward of "
            f"{', '.join(sorted(set(functions)))} seems to return numbers without a graph, as fused losses "
            "and layers do, so the second derivative lacks a part. Use a plain form of it for the analysis"
        )


def _measure(operator: "ProblemOperator") -> float:
    """Smaller of the relative mismatches in two directions."""
    problem = operator.problem
    parameters = problem.parameters()
    batch, _ = next(problem.batches())
    if problem.weighting.decomposes and not problem.weighting.given:
        batch = slice_batch(batch, count_examples(batch), slice(_EXAMPLES))
    mismatches = []
    for seed in (0, 1):
        direction = _direction(parameters, seed)
        product = operator.batch_column(batch, direction)
        differences = [operator.batch_difference(batch, direction, step) for step in _STEPS]
        mismatches.append(_mismatch(product, differences))
    return min(mismatches)


def _mismatch(product: Tensor, differences: list[Tensor]) -> float:
    """Relative distance to the nearest difference; 0 if the differences say nothing.

    They do where two steps agree. Rounding and kinks make them disagree.
    """
    distance = min(_relative(product, difference) for difference in differences)
    disagreement = min(_relative(*pair) for pair in itertools.pairwise(differences))
    return distance if disagreement < distance / _AGREEMENT else 0.0


def _direction(parameters: dict[str, Tensor], seed: int) -> Tensor:
    """Noise (n,) in proportion to each parameter's size."""
    generator = torch.Generator(device="cpu").manual_seed(seed)
    parts = []
    for tensor in parameters.values():
        noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64, device="cpu")
        parts.append((noise.to(tensor) * (tensor.abs().mean() + 0.1)).reshape(-1))
    return torch.cat(parts)


def _relative(product: Tensor, difference: Tensor) -> float:
    scale = max(product.norm().item(), difference.norm().item())
    return (product - difference).norm().item() / scale if scale else 0.0
