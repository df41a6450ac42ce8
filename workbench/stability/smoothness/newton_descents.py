"""``regularised_newton``: Newton's method with a shift of the matrix in proportion to the gradient."""

from workbench.choices import check_count, check_number
from workbench.problem import Problem
from workbench.stability.smoothness.descents import Descent, Point, Trail
from workbench.stability.smoothness.krylov_systems import KrylovSystems
from workbench.stability.smoothness.model_matrices import (
    Matrix,
    matrix_name,
    model_matrix,
    spent_on,
)

_TRIALS = 40


def regularised_newton(
    problem: Problem,
    matrix: Matrix = "hessian",
    *,
    iterations: int = 100,
    tol: float = 1e-8,
    radius: float = 1.0,
    rank: int = 10,
    accuracy: float = 1e-3,
    most: int = 200,
) -> Descent:
    r"""Minimise a loss by :math:`x^+ = x - (H + \|g\|/\gamma\, I)^{-1} g`, finding :math:`\gamma` on the way.

    A step is accepted if the loss falls by :math:`\|g^+\|^2 \gamma / (8 \|g\|)`. Then :math:`\gamma` doubles;
    else it is halved, also where the shifted matrix is not positive definite. No constant of the problem has
    to be known. All trials of a step share one Krylov space, so they cost a gradient each and hardly any
    products.

    Parameters
    ----------
    problem : Problem
        Starts at its parameters, which it leaves alone; computed in float64.
    matrix : {"hessian", "ggn", "fisher", "low rank", "none"} or callable
        H, see :func:`model_matrix`. With ``"none"`` it is gradient descent whose rate is searched.
    iterations : int
        At most.
    tol : float
        Of the gradient's norm, relative to the first one.
    radius : float
        The first :math:`\gamma`.
    rank : int
        Of ``"low rank"``.
    accuracy : float
        Of the solution of the linear system: residual relative to the gradient.
    most : int
        Largest dimension of its Krylov space.

    Returns
    -------
    Descent
        An interrupt (Ctrl-C) returns the steps that are done.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Notes
    -----
    Cost per iteration: one gradient for each trial and the products of one conjugate gradient solution.

    Source: Semenov, Jaggi and Doikov (arXiv 2506.13710), algorithm 1 and the constants of its published code;
    the shared Krylov space is ours.
    """
    check_count("iterations", iterations, low=0)
    for name, value in {"tol": tol, "radius": radius, "accuracy": accuracy}.items():
        check_number(name, value, above=0)
    trail = Trail(problem)
    tried = radius

    def step(point: Point) -> tuple[Point, float] | None:
        nonlocal tried
        op = model_matrix(trail.problem_at(point), matrix, rank)
        systems = KrylovSystems(op, point.gradient, accuracy, most)
        found = _step(trail, point, systems, tried)
        trail.products += 0 if matrix == "none" else spent_on(op, systems.products)
        if found is not None:
            tried = 2 * found[1]
        return found

    name = "gradient descent" if matrix == "none" else f"regularised Newton ({matrix_name(matrix)})"
    return trail.descend(name, step, iterations, tol)


def _step(trail: Trail, point: Point, systems: KrylovSystems, radius: float) -> tuple[Point, float] | None:
    """The next point with its radius; None if none is accepted."""
    for _ in range(_TRIALS):
        shift = point.size / radius
        step = systems.solve(shift)
        if step is not None:
            trial = trail.evaluate(point.theta - step)
            if point.loss - trial.loss >= trial.size**2 / (8 * shift):
                return trial, radius
        radius /= 2
    return None
