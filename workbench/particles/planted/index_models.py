r"""Single-index models: :math:`y = h_k(v\cdot x) + \sigma z` with normal x, and the correlation loss.

The energy of n samples is :math:`E(\theta) = -\sum_i y_i h_k(\theta\cdot x_i) / \sqrt{n (1 + \sigma^2)}`, so
its signal is :math:`\sqrt{n/(1+\sigma^2)}(\theta\cdot v)^k` and its noise of unit variance, as those of a
tensor are. The Hermite polynomial :math:`h_k` makes k the information exponent.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.choices import check_number
from workbench.particles.noise import normals
from workbench.particles.planted.hermite import hermite, hermite_coefficients, hermite_slope
from workbench.particles.planted.model import Planted, trace_constant
from workbench.particles.planted.sphere import DATA, DIRECTION, LABELS, uniform_points
from workbench.particles.planted.tensors import check_instance


@dataclass(frozen=True)
class IndexModel(Planted):
    """Instances of a single-index model.

    Attributes
    ----------
    inputs : Tensor (runs, n, dim)
        As many as the largest size; the first ones are those of the smaller sizes.
    labels : Tensor (runs, n)
    noise : float
        Standard deviation of the labels' noise.
    """

    inputs: Tensor
    labels: Tensor
    noise: float

    name = "single index"

    def scale(self, size: int) -> float:
        """What a sum over this many samples is divided by."""
        return math.sqrt(size * (1 + self.noise**2))

    @property
    def samples(self) -> Tensor:
        """All of each size."""
        return torch.tensor(self.sizes)

    def energy(self, theta: Tensor) -> Tensor:
        """The energy (runs, sizes) of points (runs, sizes, dim)."""
        parts = []
        for place, size in enumerate(self.sizes):
            x, y = self.inputs[:, :size], self.labels[:, :size]
            values = hermite(self.order, (x @ theta[:, place, :, None])[..., 0])
            parts.append(-(y * values).sum(-1) / self.scale(size))
        return torch.stack(parts, 1)

    def force(self, theta: Tensor) -> Tensor:
        """Minus the gradient of the energy (runs, sizes, dim)."""
        parts = []
        for place, size in enumerate(self.sizes):
            x, y = self.inputs[:, :size], self.labels[:, :size]
            slopes = hermite_slope(self.order, (x @ theta[:, place, :, None])[..., 0])
            parts.append(((y * slopes)[:, None] @ x)[:, 0] / self.scale(size))
        return torch.stack(parts, 1)

    def field(self) -> Tensor:
        """First-order average over β: see :class:`Planted`."""
        squares = self.inputs.square().sum(-1)
        radial = torch.zeros_like(squares)
        first = 2 if self.even else 1
        for power, coefficient in enumerate(hermite_coefficients(self.order)):
            if coefficient and power >= first:
                constant = coefficient * trace_constant(power, self.dim)
                radial = radial + constant * squares ** ((power - first) / 2)
        weighted = self.inputs * (self.labels * radial)[..., None]
        parts = []
        for size in self.sizes:
            if self.even:
                full = weighted[:, :size].transpose(1, 2) @ self.inputs[:, :size]
                mean = full.diagonal(dim1=-2, dim2=-1).mean(-1)[:, None, None]
                parts.append((full - mean * torch.eye(self.dim, dtype=full.dtype)) / self.scale(size))
            else:
                parts.append(weighted[:, :size].sum(1) / self.scale(size))
        return torch.stack(parts, 1)


def single_index(
    dim: int,
    sizes: Sequence[int],
    order: int = 3,
    *,
    noise: float = 0.5,
    runs: int | range = 20,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> IndexModel:
    r"""Instances of the single-index model :math:`y = h_k(v\cdot x) + \sigma z`.

    Parameters
    ----------
    dim : int
        Dimension d, at least 3.
    sizes : sequence of int
        Numbers of samples n. Smaller ones are the first samples of the larger.
    order : int
        k, from 1 to 4: the link is the Hermite polynomial, whose information exponent is its order.
    noise : float
        :math:`\sigma`, at least 0.
    runs : int or range
        How many instances, or their numbers; an instance depends on its number and the seed only.
    seed : int
        Of the samples and of v.
    dtype : torch.dtype
        Of the energy.

    Raises
    ------
    TypeError, ValueError
        If a number is out of range.

    Notes
    -----
    Memory: ``runs * max(sizes) * dim`` numbers.
    """
    numbers = check_instance(dim, sizes, order, runs, seed)
    check_number("noise", noise, low=0, below=math.inf)
    count = max(sizes)
    v = uniform_points(seed, numbers, 1, dim, torch.float64, DIRECTION)[:, 0]
    inputs = normals(seed, numbers, DATA, count, dim, torch.float64)
    clean = hermite(order, (inputs @ v[:, :, None])[..., 0])
    labels = clean + noise * normals(seed, numbers, LABELS, count, 1, torch.float64)[..., 0]
    return IndexModel(
        order=order,
        sizes=tuple(int(size) for size in sizes),
        runs=numbers,
        seed=seed,
        direction=v.to(dtype),
        inputs=inputs.to(dtype),
        labels=labels.to(dtype),
        noise=noise,
    )
