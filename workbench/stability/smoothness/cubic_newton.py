"""``cubic_newton``: Newton's method with a cubic regularisation."""

import math

from torch import Tensor

from workbench.choices import check_count, check_number
from workbench.problem import Problem
from workbench.stability.smoothness.descents import Descent, Point, Trail
from workbench.stability.smoothness.krylov_systems import KrylovSystems
from workbench.stability.smoothness.model_matrices import model_matrix

_TRIALS = 40
_BISECTIONS = 60


def cubic_newton(
    problem: Problem,
    *,
    iterations: int = 100,
    tol: float = 1e-8,
    constant: float = 1.0,
    accuracy: float = 1e-3,
    most: int = 200,
) -> Descent:
    r"""Minimise a loss by steps s that minimise :math:`g^\top s + \frac12 s^\top H s + \frac M6 \|s\|^3`.

    H is the exact Hessian. A step is accepted if the loss is at most what this model says; then M is halved,
    else doubled. The model is minimised over one Krylov space, where the step is the solution of
    :math:`(H + \frac M2 \|s\| I) s = -g`. Should g have no part along the most negative eigenvector of the
    space (the hard case), the step is the one to its edge.

    Parameters
    ----------
    problem, iterations, tol, accuracy, most
        As for :func:`regularised_newton`.
    constant : float
        The first M.

    Returns
    -------
    Descent
        An interrupt (Ctrl-C) returns the steps that are done.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Source: Nesterov and Polyak, "Cubic regularization of Newton method and its global performance",
    Mathematical Programming 108 (2006).
    """
    check_count("iterations", iterations, low=0)
    for name, value in {"tol": tol, "constant": constant, "accuracy": accuracy}.items():
        check_number(name, value, above=0)
    trail = Trail(problem)
    tried = constant

    def step(point: Point) -> tuple[Point, float] | None:
        nonlocal tried
        op = model_matrix(trail.problem_at(point), "hessian")
        found = _step(trail, point, KrylovSystems(op, point.gradient, accuracy, most), op, tried)
        trail.products += op.matvecs
        if found is None:
            return None
        following, accepted = found
        tried = accepted / 2
        return following, math.nan

    return trail.descend("cubic Newton", step, iterations, tol)


def _step(
    trail: Trail, point: Point, systems: KrylovSystems, op: object, constant: float
) -> tuple[Point, float] | None:
    """The next point with its constant; None if none is accepted."""
    for _ in range(_TRIALS):
        step = cubic_step(systems, constant)
        trial = trail.evaluate(point.theta + step)
        length = float(step.norm())
        model = step @ point.gradient + step @ (op @ step) / 2 + constant / 6 * length**3  # type: ignore[operator]
        if trial.loss <= point.loss + float(model):
            return trial, constant
        constant *= 2
    return None


def cubic_step(systems: KrylovSystems, constant: float) -> Tensor:
    """Return the step (n,) that minimises the cubic model over the Krylov space of its systems."""

    def too_long(shift: float) -> bool:
        solution = systems.solve(shift)
        return solution is None or float(solution.norm()) > 2 * shift / constant

    high = 1.0
    while too_long(high):  # also widens the space
        high *= 2
    low = max(0.0, -systems.smallest)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if too_long(middle) else (low, middle)
    solution = systems.solve(high)
    assert solution is not None  # it is not too long
    return -solution
