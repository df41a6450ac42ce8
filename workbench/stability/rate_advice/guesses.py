"""``guess_rate``: where the search for the largest learning rate begins, if nobody says."""

from workbench.curvature import eigenpairs, hessian
from workbench.problem import Problem
from workbench.stability.rate_advice.makers import Maker

_SHARES = {"sgd": 2.0, "momentum": 0.2}  # of 1/λ; that of the quadratic model is too high with momentum
_USUAL_RATE = 0.01
PRODUCTS = 30  # with the Hessian at most
USUAL_PRODUCTS = 10


def guess_rate(problem: Problem, maker: Maker) -> tuple[float, int]:
    """Return a rate to begin with, and the products with the Hessian that it took.

    It is 2/λ for gradient descent, 0.2/λ with momentum, today's rate of an optimizer that has one, else 0.01.
    """
    if not needs_products(maker):
        return maker.today or _USUAL_RATE, 0
    matrix = hessian(problem)
    pairs = eigenpairs(matrix, 1, "LM", tol=0.1, max_matvecs=PRODUCTS, method="lanczos")
    return guess_from_sharpness(maker, float(pairs.values[0].abs())) or _USUAL_RATE, matrix.matvecs


def guess_from_sharpness(maker: Maker, sharpness: float) -> float | None:
    """Return a rate to begin with where the largest eigenvalue is known; None if it tells nothing."""
    return _SHARES[maker.name] / sharpness if needs_products(maker) and sharpness > 0 else None


def needs_products(maker: Maker) -> bool:
    """Whether the guess is one that the Hessian makes."""
    return maker.name in _SHARES
