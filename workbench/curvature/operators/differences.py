"""A probe of products against central differences of the gradient.

A fused loss or layer often returns from its backward numbers that were computed without a graph, and a
backward written by hand may be wrong where it is differentiated again. First derivatives are right then, and
torch says nothing; the products may even be symmetric.
"""

import itertools
import warnings
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from workbench.batches import Batch
from workbench.curvature.operators.exact_copy import NoFloat64, in_float64

if TYPE_CHECKING:
    from workbench.curvature.operators.problem_operator import ProblemOperator

# In float64 nothing but a wrong part shows. In float32 rounding and kinks do where few examples have a loss
# left, but then the steps disagree as well: a fused loss is off by a half to 1 while they agree to 1e-3.
_MISMATCH = {torch.float64: 1e-4, torch.float32: 0.3}
_STEPS = {torch.float64: (1e-4, 1e-5, 1e-6, 1e-7), torch.float32: (1e-3, 1e-4, 1e-5, 1e-6)}  # relative
_AGREEMENT = 30  # how much closer than the product two differences must be to each other


def check_products(operator: "ProblemOperator", batch: Batch, functions: Sequence[str]) -> None:
    """Hold products with a small batch against differences of gradients.

    In a float64 copy of the problem where its functions know float64, else as it is, and coarser. Cost: some
    ten gradients of that batch.

    Parameters
    ----------
    operator : ProblemOperator
    batch : any
        A few examples: with many, a step past the kink of a ReLU is more likely.
    functions : sequence of str
        The custom autograd Functions of the problem, for the message.

    Raises
    ------
    ValueError
        If a product is wrong in two directions, whichever the step.
    """
    mismatch, tolerance = _measure_finely(operator, batch, bool(functions))
    if mismatch <= tolerance:
        return
    suspect = f"the backward of {', '.join(sorted(set(functions)))}" if functions else "a backward"
    raise ValueError(
        f"a product is off by {mismatch:.2g} (relative, at most {tolerance:g} is rounding) from central "
        f"differences of the gradient: {suspect} seems to return numbers without a graph, as fused losses "
        "and layers do, or is wrong when differentiated again. Use a plain form of it for the analysis"
    )


def _measure_finely(operator: "ProblemOperator", batch: Batch, by_hand: bool) -> tuple[float, float]:
    """Mismatch and what is tolerated, in float64 if possible."""
    double = torch.float64
    try:
        return in_float64(operator, batch, partial(_measure, dtype=double)), _MISMATCH[double]
    except NoFloat64 as error:
        dtype = operator.problem.coarsest_dtype
        if dtype not in _MISMATCH or not by_hand:
            warnings.warn(
                f"the products could not be held against differences in float64: {error}",
                RuntimeWarning,
                stacklevel=2,
            )
            return 0.0, 1.0
    # A fused loss takes all away from a Gauss-Newton matrix, but far from a minimum little of a Hessian.
    each = (operator, operator.gauss_newton())
    return max(_measure(one, batch, dtype) for one in each), _MISMATCH[dtype]


def _measure(operator: "ProblemOperator", batch: Batch, dtype: torch.dtype) -> float:
    """Relative mismatch in one direction, and if that is too large the smaller one of two."""
    parameters = operator.problem.parameters()
    mismatches: list[float] = []
    for seed in (0, 1):
        direction = _direction(parameters, seed)
        product = operator.batch_column(batch, direction)
        differences = (operator.batch_difference(batch, direction, step) for step in _STEPS[dtype])
        mismatches.append(_mismatch(product, list(differences)))
        if mismatches[-1] <= _MISMATCH[dtype]:
            break
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
