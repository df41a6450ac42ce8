"""``quasi_newton``: L-BFGS as SciPy has it, with its path."""

import numpy as np
import torch
from scipy.optimize import minimize

from workbench.choices import check_count, check_number
from workbench.problem import Problem
from workbench.progress import progress
from workbench.stability.smoothness.descents import Descent, Point, Trail

_MEMORY = 10  # pairs of steps and changes of the gradient, SciPy's default


def quasi_newton(problem: Problem, *, iterations: int = 100, tol: float = 1e-8) -> Descent:
    """Minimise a loss by L-BFGS with ten pairs and SciPy's line search.

    Parameters
    ----------
    problem, iterations, tol
        As for :func:`regularised_newton`.

    Returns
    -------
    Descent
        An interrupt (Ctrl-C) returns the steps that are done.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Source: Liu and Nocedal, "On the limited memory BFGS method", Mathematical Programming 45 (1989).
    """
    check_count("iterations", iterations, low=0)
    check_number("tol", tol, above=0)
    trail = Trail(problem)
    start = trail.evaluate(trail.problem.parameters_vector())
    trail.append(start)
    if not iterations or start.size == 0:
        return trail.descent("L-BFGS", "iterations" if start.size else "gradient")
    latest = start

    def value(theta: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal latest
        latest = at(theta)
        return latest.loss, latest.gradient.cpu().numpy()

    def at(theta: np.ndarray) -> Point:
        """What is known already is not computed again."""
        if np.array_equal(latest.theta.cpu().numpy(), theta):
            return latest
        return trail.evaluate(torch.from_numpy(theta.copy()).to(start.theta))

    reason = "iterations"
    try:
        with progress("L-BFGS", iterations) as advance:

            def step(theta: np.ndarray) -> None:
                trail.append(at(theta))  # the line search evaluates where it ends last, with few exceptions
                advance(1, f"loss {trail.last.loss:.4g}")
                if trail.last.size <= tol * start.size:
                    raise StopIteration

            found = minimize(
                value, start.theta.cpu().numpy(), jac=True, method="L-BFGS-B", callback=step,
                options={"maxiter": iterations, "maxfun": 40 * iterations + 40, "maxcor": _MEMORY,
                         "ftol": 0.0, "gtol": 0.0},
            )  # fmt: skip
        small = trail.last.size <= tol * start.size
        reason = "gradient" if small else "iterations" if found.nit >= iterations else "stalled"
    except KeyboardInterrupt:
        reason = "interrupted"
    return trail.descent("L-BFGS", reason)
