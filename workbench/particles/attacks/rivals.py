"""What the searches are held against: a simplex without gradients and a method with them, both scipy's."""

import contextlib
import math

import numpy as np
import torch

from workbench.choices import check_count, check_number
from workbench.particles.attacks.attack_operator import ascent
from workbench.particles.attacks.data_profiles import Trail
from workbench.particles.attacks.surrogates import Surrogate
from workbench.particles.objectives import GRADIENT_COST


class Counted:
    r"""A surrogate as a function of one point to be minimised, which remembers the best feasible value.

    Infeasible points are worth :math:`+\infty`: the extreme barrier, for codes that know no other.
    """

    def __init__(self, surrogate: Surrogate, evaluations: int) -> None:
        check_count("evaluations", evaluations)
        self.surrogate = surrogate
        self.budget = evaluations
        self.best: list[float] = []

    def __call__(self, point: np.ndarray) -> float:
        """Minus the goal of a point (dim,), infinity where it is infeasible."""
        goal, violation = self.goal_and_violation(point)
        return -goal if violation == 0 else math.inf

    def goal_and_violation(self, point: np.ndarray) -> tuple[float, float]:
        """Goal and violation of a point (dim,), clipped into the box.

        Raises
        ------
        BudgetSpent
            If there is no evaluation left.
        """
        if len(self.best) >= self.budget:
            raise BudgetSpent
        x = self.surrogate.clipped(
            torch.from_numpy(np.asarray(point, dtype=np.float64)).to(self.surrogate.start)
        )
        found = self.surrogate.evaluate(x[None])
        violation = float(found.violation[0])
        goal = float(found.goal[0])
        before = self.best[-1] if self.best else -math.inf
        self.best.append(max(goal, before) if violation == 0 else before)
        return goal, violation

    def trail(self) -> Trail:
        """What was reached so far."""
        count = np.arange(1, len(self.best) + 1)
        return Trail(self.surrogate.name, self.surrogate.dim, count, np.array(self.best))


class BudgetSpent(Exception):
    """A code that takes one point at a time has had all its evaluations."""


def nelder_mead(surrogate: Surrogate, evaluations: int = 10_000, delta: float = 0.25) -> Trail:
    """Nelder and Mead's simplex with dimension-dependent coefficients (Gao and Han), one point at a time.

    Parameters
    ----------
    surrogate : Surrogate
        Infeasible points are refused; it needs a feasible start.
    evaluations : int
        Budget.
    delta : float
        Edge of the first simplex.

    Raises
    ------
    ValueError
        If a number is out of range.
    """
    from scipy.optimize import minimize

    check_number("delta", delta, above=0, below=math.inf)
    counted = Counted(surrogate, evaluations)
    start = surrogate.start.double().numpy()
    simplex = np.vstack([start, start + delta * np.eye(surrogate.dim)])
    options = {"initial_simplex": simplex, "adaptive": True, "xatol": 1e-8, "fatol": 1e-14,
               "maxfev": 10 * evaluations, "maxiter": 10 * evaluations}  # fmt: skip
    with contextlib.suppress(BudgetSpent), np.errstate(invalid="ignore"):  # infinity less infinity
        minimize(counted, start, method="Nelder-Mead", options=options)
    return counted.trail()


def gradient_ascent(surrogate: Surrogate, evaluations: int = 10_000) -> Trail:
    """L-BFGS-B with the exact gradient; a value with its gradient counts as 3 evaluations.

    It knows the box but no other constraint: infeasible points are passed through and not recorded. Where
    the network has a gradient and nothing else is asked for, this is the method to beat.

    Parameters
    ----------
    surrogate : Surrogate
    evaluations : int
        Budget, at least 3.

    Raises
    ------
    ValueError
        If the budget does not pay one gradient.
    """
    from scipy.optimize import minimize

    check_count("evaluations", evaluations, low=GRADIENT_COST)
    counted = Counted(surrogate, evaluations // GRADIENT_COST)

    def value_and_slope(point: np.ndarray) -> tuple[float, np.ndarray]:
        goal, _ = counted.goal_and_violation(point)
        x = torch.from_numpy(point).to(surrogate.start)
        return -goal, -ascent(surrogate, x).double().numpy()

    sides = [
        [None] * surrogate.dim if side is None else side.tolist()
        for side in (surrogate.lower, surrogate.upper)
    ]
    options = {"maxfun": 10 * evaluations, "maxiter": 10 * evaluations, "ftol": 0.0, "gtol": 1e-9}
    with contextlib.suppress(BudgetSpent):
        minimize(
            value_and_slope,
            surrogate.start.double().numpy(),
            jac=True,
            method="L-BFGS-B",
            bounds=list(zip(*sides, strict=True)),
            options=options,
        )
    trail = counted.trail()
    return trail._replace(evaluations=GRADIENT_COST * trail.evaluations)
