"""``rate_limit_cost``: what a limit of learning rates costs, known before it is looked for."""

from typing import NamedTuple

from torch.optim import Optimizer

from workbench.choices import check_count
from workbench.problem import Problem
from workbench.stability.rate_advice.guesses import PRODUCTS, USUAL_PRODUCTS, needs_products
from workbench.stability.rate_advice.makers import MakeOptimizer, find_maker
from workbench.stability.rate_advice.searches import MOST_RUNS, USUAL_RUNS


class RateCost(NamedTuple):
    """Cost in gradients over the data.

    Attributes
    ----------
    expected : float
        With nine runs for each seed, and ten products with the Hessian for the guess if it needs them.
    largest : float
        If every search goes as far as it may; a budget stops it before.
    """

    expected: float
    largest: float


def rate_limit_cost(
    problem: Problem,
    optimizer: str | MakeOptimizer | Optimizer = "sgd",
    *,
    batch_size: int = 32,
    steps: int = 100,
    seeds: int = 5,
    guess: float | None = None,
    examples: int | None = None,
) -> RateCost:
    """Tell what :func:`rate_limit` with these arguments costs; nothing is run.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range.
    """
    check_count("steps", steps)
    check_count("seeds", seeds)
    check_count("batch_size", batch_size)
    count = problem.num_examples
    if examples is not None:
        check_count("examples", examples)
    judged = min(count, examples or count) / count
    run = steps * min(batch_size, count) / count + judged / 3
    product = 2 * judged if guess is None and needs_products(find_maker(problem, optimizer)) else 0.0
    return RateCost(
        expected=seeds * USUAL_RUNS * run + USUAL_PRODUCTS * product,
        largest=seeds * MOST_RUNS * run + PRODUCTS * product,
    )
