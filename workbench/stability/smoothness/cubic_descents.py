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
    :math:`(H + \frac M2 \|s\| I) s = -g`.

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
        systems = KrylovSystems(op, point.gradient, accuracy, most)
        found = _step(trail, point, systems, tried)
        trail.products += systems.products
        if found is None:
            return None
        following, accepted = found
        tried = accepted / 2
        return following, math.nan

    return trail.descend("cubic Newton", step, iterations, tol)


def _step(trail: Trail, point: Point, systems: KrylovSystems, constant: float) -> tuple[Point, float] | None:
    """The next point with its constant; None if none is accepted."""
    for _ in range(_TRIALS):
        step, shift = cubic_step(systems, constant)
        trial = trail.evaluate(point.theta + step)
        length, slope = float(step.norm()), float(step @ point.gradient)
        curvature = -slope - shift * length**2  # the residual of the step is orthogonal to it
        if trial.loss <= point.loss + slope + curvature / 2 + constant / 6 * length**3:
            return trial, constant
        constant *= 2
    return None


def cubic_step(systems: KrylovSystems, constant: float) -> tuple[Tensor, float]:
    """Return the step (n,) that minimises the cubic model over a Krylov space, and its shift.

    Smaller shifts may widen the space, and a wider one may have a smaller eigenvalue: what was long enough
    before may be singular now, so the bracket is looked for again until the space stays.
    """

    def too_long(shift: float) -> bool:
        solution = systems.solve(shift)
        return solution is None or float(solution.norm()) > 2 * shift / constant

    high = 1.0
    while True:
        while too_long(high):
            high *= 2
        known = systems.products
        low = max(0.0, -systems.smallest)
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            low, high = (middle, high) if too_long(middle) else (low, middle)
        if systems.products == known:
            break
    solution = systems.solve(high)
    assert solution is not None  # it is not too long, in this very space
    return -solution, high
