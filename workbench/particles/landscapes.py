"""Landscapes with known minimisers, test functions as objectives, and a slice of a network's loss."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from workbench.choices import check_choice
from workbench.curvature.loss_slice import LossSlice


@dataclass(frozen=True)
class Landscape:
    """An objective with a name, a box to start in, and its minimisers.

    Attributes
    ----------
    name, formula : str
        What it is; the formula states every coefficient.
    function : callable
        Of points (..., dim); returns (...).
    minimisers : tuple of tuples of float
        Where it is least; one number stands for all coordinates. Empty if that is not known.
    minimum : float
        Its least value; nan if that is not known.
    box : (float, float)
        Bounds of each coordinate to start in.
    dim : int, optional
        The only dimension that it is defined in; None for any.
    least_dim : int
        The least that it is defined in.
    code : int, optional
        Number that the compiled kernels know it by; None: they do not.
    coefficient : float
        What they need to know besides.
    per_dimension : bool
        Whether the sum over coordinates is divided by their number.
    """

    name: str
    formula: str
    function: Callable[[Tensor], Tensor] = field(repr=False)
    minimisers: tuple[tuple[float, ...], ...]
    minimum: float
    box: tuple[float, float]
    dim: int | None = None
    least_dim: int = 1
    code: int | None = None
    coefficient: float = 0.0
    per_dimension: bool = False

    def __call__(self, points: Tensor) -> Tensor:
        """Energies (...) of points (..., dim)."""
        energy = self.function(points)
        return energy / points.shape[-1] if self.per_dimension else energy

    def minimiser(self, dim: int) -> Tensor:
        """The first of the minimisers (dim,), float64.

        Raises
        ------
        ValueError
            If none is known, or the function has another number of variables.
        """
        if not self.minimisers:
            raise ValueError(f"no minimiser of {self.name} is known")
        variables = len(self.minimisers[0])
        if variables not in (1, dim):
            raise ValueError(f"dim={dim}: {self.name} is a function of {variables} variables")
        return torch.tensor(self.minimisers[0], dtype=torch.float64).expand(dim).clone()


def sphere(per_dimension: bool = False) -> Landscape:
    """Sum of squares."""
    return Landscape(
        "sphere", "Σ x²", lambda x: x.square().sum(-1), ((0.0,),), 0.0, (-3.0, 3.0),
        code=0, per_dimension=per_dimension,
    )  # fmt: skip


def ackley(per_dimension: bool = False) -> Landscape:
    """Ackley's function with the usual coefficients 20, 1/5 and 2π."""
    formula = "20 (1 − exp(−√(Σx²/d) / 5)) + e − exp(Σ cos(2πx) / d)"
    return Landscape(
        "Ackley", formula, _ackley, ((0.0,),), 0.0, (-3.0, 3.0),
        code=1, coefficient=20.0, per_dimension=per_dimension,
    )  # fmt: skip


def rastrigin(coefficient: float = 2.5, per_dimension: bool = False) -> Landscape:
    """Rastrigin's function: coefficient 2.5 in the code of "Gradient is All You Need?", 10 elsewhere."""
    return Landscape(
        f"Rastrigin ({coefficient:g})", f"Σ x² + {coefficient:g} Σ (1 − cos 2πx)",
        partial(_rastrigin, coefficient=coefficient), ((0.0,),), 0.0, (-3.0, 3.0),
        code=2, coefficient=coefficient, per_dimension=per_dimension,
    )  # fmt: skip


def rosenbrock(per_dimension: bool = False) -> Landscape:
    """Rosenbrock's valley, in two or more dimensions."""
    return Landscape(
        "Rosenbrock", "Σ 100 (x₍ⱼ₊₁₎ − xⱼ²)² + (1 − xⱼ)²", _rosenbrock, ((1.0,),), 0.0, (-2.0, 2.0),
        code=3, least_dim=2, per_dimension=per_dimension,
    )  # fmt: skip


def himmelblau() -> Landscape:
    """Himmelblau's function of two variables, which has four minimisers of equal depth."""
    minimisers = (
        (3.0, 2.0),
        (-2.805118086952745, 3.131312518250573),
        (-3.779310253377747, -3.283185991286170),
        (3.584428340330492, -1.848126526964404),
    )
    formula = "(x² + y − 11)² + (x + y² − 7)²"
    return Landscape("Himmelblau", formula, _himmelblau, minimisers, 0.0, (-5.0, 5.0), dim=2)


def canyon() -> Landscape:
    """The noisy canyon of "Gradient is All You Need?", arXiv:2306.09778 (GrandCanyon3noisy in its code)."""
    formula = (
        "25 (1 − exp(−1.4 v² exp(−0.002 x⁴))) + 0.4 x² + 0.2 y² + 1.1625 Σ (1 − cos 0.75π·) + "
        "4 exp(1 − 2v⁴) max((1 − exp(−9b²)) sign b, 0), v = y − (x − 1)(x − 4)²/8 − 2, b = −x − 1.6 y"
    )
    return Landscape("canyon", formula, _canyon, ((0.0, 0.0),), 0.0, (-10.0, 10.0), dim=2)


def loss_slice_landscape(loss_slice: LossSlice) -> Landscape:
    """A plane of a network's loss, from ``wb.curvature.slice_loss``, as an objective of its two coordinates.

    Between the points of the grid the loss is interpolated (bicubic); beyond the grid it is that of the
    nearest edge plus the squared distance from it. The minimiser is the lowest point of the grid.

    Raises
    ------
    ValueError
        If the slice is a line, was interrupted, or has a loss that is not finite.
    """
    if len(loss_slice.axes) != 2:
        raise ValueError(f"the slice has {len(loss_slice.axes)} direction: a landscape takes 2")
    if not np.isfinite(loss_slice.loss).all():
        raise ValueError("the slice has points without a finite loss: a landscape needs all of them")
    x, y = loss_slice.axes
    lowest = np.unravel_index(loss_slice.loss.argmin(), loss_slice.loss.shape)
    low, high = max(x[0], y[0]), min(x[-1], y[-1])
    function = partial(
        _interpolated,
        grid=torch.from_numpy(loss_slice.loss),
        low=torch.tensor([x[0], y[0]]),
        high=torch.tensor([x[-1], y[-1]]),
    )
    minimiser = (float(x[lowest[0]]), float(y[lowest[1]]))
    name = f"{loss_slice.terms} on the plane of {' and '.join(loss_slice.labels)}"
    formula = f"interpolated from {loss_slice.loss.shape[0]} × {loss_slice.loss.shape[1]} points"
    return Landscape(
        name, formula, function, (minimiser,), float(loss_slice.loss.min()), (float(low), float(high)), dim=2
    )


LANDSCAPES: dict[str, Callable[[], Landscape]] = {
    "ackley": ackley,
    "rastrigin": rastrigin,
    "rosenbrock": rosenbrock,
    "sphere": sphere,
    "himmelblau": himmelblau,
    "canyon": canyon,
}


def landscape(name: str) -> Landscape:
    """The built-in landscape of a name, with its defaults.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    check_choice("landscape", name, tuple(LANDSCAPES))
    return LANDSCAPES[name]()


def _ackley(x: Tensor) -> Tensor:
    # The gradient of a norm at 0 is 0 in PyTorch; that of a root of squares would be nan.
    root = torch.linalg.vector_norm(x, dim=-1) / x.shape[-1] ** 0.5
    bowl = 20 * (1 - torch.exp(-root / 5))
    return bowl + (math.e - torch.exp(torch.cos(2 * math.pi * x).mean(-1)))


def _rastrigin(x: Tensor, coefficient: float) -> Tensor:
    return (x.square() + coefficient * (1 - torch.cos(2 * math.pi * x))).sum(-1)


def _rosenbrock(x: Tensor) -> Tensor:
    first, second = x[..., :-1], x[..., 1:]
    return (100 * (second - first.square()).square() + (1 - first).square()).sum(-1)


def _himmelblau(points: Tensor) -> Tensor:
    x, y = points.unbind(-1)
    return (x.square() + y - 11).square() + (x + y.square() - 7).square()


def _canyon(points: Tensor) -> Tensor:
    x, y = points.unbind(-1)
    v = y - (2 / 16 * (x - 1) * (x - 4).square() + 2)
    b = -x - 1.6 * y
    wall = 25 * (1 - torch.exp(-1.4 * v.square() * torch.exp(-0.002 * x**4)))
    ripples = 1.1625 * (1 - torch.cos(0.75 * math.pi * points)).sum(-1)
    step = 4 * torch.exp(1 - 2 * v**4) * ((1 - torch.exp(-9 * b.square())) * b.sign()).clamp(min=0)
    return wall + 0.4 * x.square() + 0.2 * y.square() + ripples + step


def _interpolated(points: Tensor, grid: Tensor, low: Tensor, high: Tensor) -> Tensor:
    low, high = low.to(points), high.to(points)
    inside = torch.minimum(torch.maximum(points, low), high)
    place = 2 * (inside - low) / (high - low) - 1
    # grid_sample counts columns first: the second coordinate.
    at = place.flip(-1).reshape(1, 1, -1, 2)
    image = grid.to(points).expand(1, 1, -1, -1)
    found = grid_sample(image, at, mode="bicubic", padding_mode="border", align_corners=True)
    return found.reshape(points.shape[:-1]) + (points - inside).square().sum(-1)
