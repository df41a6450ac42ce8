"""``gradient_smoothness``: in how large a ball a matrix explains how the gradient changes."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from workbench.choices import check_choice, check_count, check_number
from workbench.colors import BLUE, GREEN, ORANGE, SKY, VERMILION
from workbench.curvature.eigensolver import eigenpairs
from workbench.curvature.operators.base import CurvatureOperator
from workbench.curvature.operators.wrapped import as_operator
from workbench.problem import Problem
from workbench.progress import progress
from workbench.random_vectors import generator, random_vectors
from workbench.result import Result, new_axes
from workbench.stability.smoothness.krylov_systems import KrylovSystems
from workbench.stability.smoothness.model_matrices import (
    Matrix,
    matrix_name,
    model_matrix,
    spent_on,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DIRECTIONS = ("gradient", "eigenvectors", "random", "step")
REGIONS = ("ball", "steps")
CAP = 1e6  # radii beyond this many Cauchy steps, or units of length, are not told from infinity
_COLORS = {"gradient": BLUE, "eigenvectors": ORANGE, "random": GREEN, "step": VERMILION}
_INNER = (0.125, 0.25, 0.5)  # shares of a distance at which the ratio must hold, too
_STRIDE = 4.0
_ROUNDINGS = 10.0  # an error up to this many times that of a step of one rounding counts as none


@dataclasses.dataclass(frozen=True, repr=False)
class GradientSmoothness(Result):
    r"""Gradient-normalised smoothness of a loss at a point, as far as some directions show it.

    Attributes
    ----------
    gamma : float
        An upper bound on :math:`\gamma`: the least over the directions, each to both sides.
    capped : bool
        Whether no direction ended before the cap: the matrix explains the gradient as far as was looked.
    matrix : str
        What linearises the gradient.
    region : str
        ``"ball"``: the definition asks for all directions; ``"steps"``: for the ellipsoid of steps.
    gradient_norm : float
    names : tuple of str
        Of the directions.
    gammas : ndarray (directions,)
        What each allows; no less than ``gamma`` is resolved, so a direction that does not bind has ``gamma``
        or more.
    samples : ndarray (samples, 3)
        Place of the direction (negative distances are to the other side), distance, and the ratio
        :math:`\|\nabla f(x + h) - \nabla f(x) - H h\| / (\|\nabla f(x)\|\,\|h\|)`.
    gradients, products : int
        What it cost.
    interrupted : bool
        Whether directions are missing.
    """

    gamma: float
    capped: bool
    matrix: str
    region: str
    gradient_norm: float
    names: tuple[str, ...]
    gammas: np.ndarray
    samples: np.ndarray
    gradients: int
    products: int
    interrupted: bool = False

    @property
    def binding(self) -> str:
        """The direction that allows least."""
        return self.names[int(self.gammas.argmin())]

    def frame(self) -> pd.DataFrame:
        """One row per gradient that was computed: direction, signed distance, ratio."""
        return pd.DataFrame(
            {
                "direction": [self.names[int(place)] for place in self.samples[:, 0]],
                "distance": self.samples[:, 1],
                "ratio": self.samples[:, 2],
            }
        )

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """The ratio against the distance, with the line 1 / distance below which it must stay."""
        ax = new_axes(ax)
        seen: set[str] = set()
        for place, name in enumerate(self.names):
            kind = name.split(" ")[0]
            mine = self.samples[self.samples[:, 0] == place]
            for side in (1, -1):
                part = mine[np.sign(mine[:, 1]) == side]
                part = part[np.abs(part[:, 1]).argsort()]
                label = kind if kind not in seen and len(part) else None
                seen |= {kind} if label else set()
                ax.plot(
                    np.abs(part[:, 1]), part[:, 2], ".-", color=_COLORS.get(kind, SKY), lw=0.8, label=label
                )
        distances = np.abs(self.samples[:, 1])
        edge = np.geomspace(distances.min(), distances.max(), 50)
        ax.plot(edge, 1 / edge, color="black", lw=1, label="1 / distance")
        ax.axvline(self.gamma, color="black", linestyle="--", label=f"γ ≤ {self.gamma:.3g}")
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xlabel("distance ‖h‖")
        ax.set_ylabel("error of the linearised gradient / (‖g‖ ‖h‖)")
        ax.set_title(self.summary().splitlines()[0], fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """The bound, which direction gives it, and the cost."""
        sign = "≥" if self.capped else "≤"
        lines = [
            f"γ {sign} {self.gamma:.4g} with the {self.matrix} matrix in the {self.region} "
            f"(‖g‖ = {self.gradient_norm:.3g})",
            "no direction ended before the cap"
            if self.capped
            else f"an upper bound: {self.binding} binds of {len(self.names)} directions, each to both sides",
            f"{self.gradients} gradients, {self.products} products"
            + (", INTERRUPTED before the other directions" if self.interrupted else ""),
        ]
        return "\n".join(lines)


def gradient_smoothness(
    problem: Problem,
    matrix: Matrix = "hessian",
    *,
    region: str = "ball",
    directions: Sequence[str] = DIRECTIONS,
    eigenvectors: int = 3,
    random: int = 3,
    rank: int = 10,
    precision: float = 1e-3,
    seed: int = 0,
) -> GradientSmoothness:
    r"""Estimate :math:`\gamma(x)`, the largest radius within which H explains the change of the gradient.

    .. math:: \gamma(x) = \max\{\gamma : \|\nabla f(x+h) - \nabla f(x) - H h\| \le
       \|\nabla f(x)\|\,\|h\| / \gamma \text{ for all } \|h\| \le \gamma\}

    With H positive semidefinite, a step :math:`-(H + \|\nabla f\|/\gamma\, I)^{-1} \nabla f` with this
    radius or a smaller one is no longer than it, and lowers f. The condition is on all directions; some are
    looked at here, so what is found is an **upper bound**. For the exact Hessian it is infinite where f is
    quadratic, and :math:`\sqrt{2 \|\nabla f\|/M}` along a direction in which the second derivative changes at
    the rate M. It does not depend on the scale of f.

    The exact form of the published ellipsoid was not at hand; ``region`` has the one that the steps call for.

    Parameters
    ----------
    problem : Problem
        Computed in float64.
    matrix : {"hessian", "ggn", "fisher", "low rank"} or callable
        H, see :func:`model_matrix`.
    region : {"ball", "steps"}
        ``"steps"`` asks only about h with :math:`h^\top H h \le -g^\top h`, the ellipsoid that has all steps
        :math:`-(H + sI)^{-1} g` with :math:`s \ge 0` in it, which is all that a method needs. Where the third
        derivative is bounded by the second, :math:`D^3 f[h, h, u] \le R\, h^\top H h\, \|u\|`, as for the
        logistic loss with inputs up to the norm R, the radius in it is at least 1.256/R for the exact
        Hessian, whatever the gradient is (derived here; 1.256 solves :math:`e^v = 1 + 2v`).
    directions : sequence of {"gradient", "eigenvectors", "random", "step"}
        ``"step"`` is the step above with the radius that the others have left.
    eigenvectors, random : int
        How many of each; the eigenvectors are H's with the largest absolute eigenvalues.
    rank : int
        Of ``"low rank"``.
    precision : float
        Relative, of the bound.
    seed : int
        Of the random directions.

    Raises
    ------
    ValueError
        If the gradient is zero, where nothing can be measured in units of it; or if an argument is out of
        range.

    Notes
    -----
    Cost: eight gradients and a product for each direction, about 20 gradients for one that lowers the bound,
    the Lanczos search of the eigenvectors and up to 100 products for the step. Between the
    distances that are looked at (factors of two, then bisection) the ratio is not known.

    Source: Semenov, Jaggi and Doikov, "Gradient-normalized smoothness for optimization with approximate
    Hessians" (arXiv 2506.13710), whose definition restricts h to a local ellipsoid; ball, region of steps and
    estimate are ours.
    """
    if not directions:
        raise ValueError(f"directions is empty: name some of {', '.join(DIRECTIONS)}")
    for name in directions:
        check_choice("directions", name, DIRECTIONS)
    check_choice("region", region, REGIONS)
    check_count("eigenvectors", eigenvectors)
    check_count("random", random)
    check_number("precision", precision, above=0, below=1)
    problem = problem.to(dtype=torch.float64)
    theta, gradient = problem.parameters_vector(), problem.gradient()
    size = float(gradient.norm())
    if not size > 0:
        raise ValueError("the gradient is zero here: there is no radius in units of it")
    op = as_operator(model_matrix(problem, matrix, rank))
    field = _Field(problem.gradient, theta, gradient, op, region)
    names: list[str] = []
    gammas: list[float] = []
    interrupted = False
    try:
        with progress("gradient smoothness", None) as advance:
            for name, direction in _directions(field, directions, eigenvectors, random, seed, gammas):
                gammas.append(field.reach(len(names), direction, precision, min(gammas, default=math.inf)))
                names.append(name)
                advance(1, name)
    except KeyboardInterrupt:
        if not gammas:
            raise
        interrupted = True
    lowest = min(gammas)
    return GradientSmoothness(
        lowest,
        lowest >= field.cap,
        matrix_name(matrix),
        region,
        size,
        tuple(names),
        np.array(gammas),
        np.array(field.samples),
        field.gradients,
        spent_on(op),
        interrupted,
    )


class _Field:
    """The error of the linearised gradient, along lines through a point.

    ``samples`` holds what was computed: place of the direction, signed distance, ratio.
    """

    def __init__(
        self,
        gradient_at: Callable[[Tensor], Tensor],
        theta: Tensor,
        gradient: Tensor,
        op: CurvatureOperator,
        region: str,
    ) -> None:
        self._gradient_at, self._theta, self.gradient, self.op = gradient_at, theta, gradient, op
        self._region = region
        self.size = float(gradient.norm())
        along = float((op @ (gradient / self.size)).norm())
        self._cauchy = self.size / along if along else 1.0
        self.cap = CAP * max(self._cauchy, 1.0)
        self.samples: list[tuple[int, float, float]] = []
        self.gradients = 1
        self._noise = 0.0
        shift = torch.finfo(theta.dtype).eps * (1 + float(theta.norm())) * gradient / self.size
        self._noise = _ROUNDINGS * self._error(shift, op @ shift)

    def reach(self, place: int, direction: Tensor, precision: float, most: float) -> float:
        """The largest radius up to ``most`` that a direction allows, to both sides."""
        unit = direction / direction.norm()
        bent = self.op @ unit
        for side in (1.0, -1.0):
            limit = self._limit(side * unit, side * bent)
            if limit > 0:
                along = partial(self._ratio, place, side * unit, side * bent, side)
                most = self._reach(along, limit, precision, most)
        return most

    def _limit(self, unit: Tensor, bent: Tensor) -> float:
        """How far points along a unit direction are asked about."""
        if self._region == "ball":
            return math.inf
        descent, curvature = -float(unit @ self.gradient), float(unit @ bent)
        if descent <= 0:
            return 0.0
        return descent / curvature if curvature > 0 else math.inf

    def _reach(self, ratio: Callable[[float], float], limit: float, precision: float, most: float) -> float:
        """The largest t up to ``most`` with t · max over s ≤ t, s ≤ limit of ratio(s) ≤ 1."""
        worst: dict[float, float] = {}

        def holds(distance: float, shares: Sequence[float] = (*_INNER, 1.0)) -> bool:
            end = min(distance, limit)
            for share in shares:
                if share * end not in worst:
                    worst[share * end] = ratio(share * end)
            return distance * max(value for at, value in worst.items() if at <= end) <= 1

        below, above = 0.0, min(most, self.cap)
        if most < math.inf:
            if holds(most):
                return most
        else:
            distance = self._cauchy
            while holds(distance):
                if distance >= self.cap:
                    return self.cap
                below, distance = distance, min(_STRIDE * distance, self.cap)
            above = distance
        while not below:
            smaller = above / _STRIDE
            if holds(smaller):
                below = smaller
            else:
                above = smaller
        while above > (1 + precision) * below:
            middle = math.sqrt(below * above)
            below, above = (middle, above) if holds(middle, (1.0,)) else (below, middle)
        return below

    def _ratio(self, place: int, unit: Tensor, bent: Tensor, side: float, distance: float) -> float:
        found = self._error(distance * unit, distance * bent) / (self.size * distance)
        self.samples.append((place, side * distance, found))
        return found

    def _error(self, step: Tensor, bent: Tensor) -> float:
        """Norm of what the matrix leaves of a change of the gradient; 0 where it is rounding alone."""
        moved = self._gradient_at(self._theta + step)
        self.gradients += 1
        error = float((moved - self.gradient - bent).norm())
        return error if error > self._noise else 0.0


def _directions(
    field: _Field,
    kinds: Sequence[str],
    eigenvectors: int,
    random: int,
    seed: int,
    gammas: Sequence[float],
) -> Iterator[tuple[str, Tensor]]:
    """Name and vector of each direction; the step comes last, with the radius that is left by then."""
    n = len(field.gradient)
    if "gradient" in kinds:
        yield "gradient", field.gradient
    if "eigenvectors" in kinds:
        pairs = eigenpairs(field.op, min(eigenvectors, n), "LM", tol=1e-2, seed=seed, method="lanczos")
        if pairs.interrupted:
            raise KeyboardInterrupt
        for place, vector in enumerate(pairs.vectors.T):
            yield f"eigenvectors {place}", vector.to(field.gradient)
    if "random" in kinds:
        draws = generator(seed)
        for place in range(random):
            yield f"random {place}", random_vectors(1, n, draws)[0].to(field.gradient)
    if "step" in kinds:
        gamma = min(gammas, default=field.cap)
        systems = KrylovSystems(field.op, field.gradient, tol=1e-3, most=100)
        step = systems.solve(field.size / gamma)
        yield "step", field.gradient if step is None else step
