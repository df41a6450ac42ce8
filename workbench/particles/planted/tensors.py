r"""Tensor PCA: :math:`T = \sqrt n\, v^{\otimes k} + W` with independent standard normal entries in W.

The energy :math:`E(\theta) = -\langle T, \theta^{\otimes k}\rangle` depends on the symmetric part of W only,
which is all that is kept; so a tensor that is not symmetric enters with all its partial traces, k of them
for k = 3.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.choices import check_count
from workbench.particles.noise import normals
from workbench.particles.planted.model import Planted, trace_constant
from workbench.particles.planted.sphere import DATA, DIRECTION, uniform_points


@dataclass(frozen=True)
class TensorModel(Planted):
    """Instances of tensor PCA.

    Attributes
    ----------
    noise : Tensor (runs, dim, ..., dim)
        The symmetric part of W.
    """

    noise: Tensor

    name = "tensor"

    @property
    def strength(self) -> Tensor:
        """Signal-to-noise ratio of each size (sizes,)."""
        return torch.tensor(self.sizes, dtype=self.noise.dtype).sqrt()

    @property
    def samples(self) -> Tensor:
        """One for each size: the tensor holds them all."""
        return torch.ones(len(self.sizes), dtype=torch.int64)

    def energy(self, theta: Tensor) -> Tensor:
        """The energy (runs, sizes) of points (runs, sizes, dim)."""
        return -(self.force(theta) * theta).sum(-1) / self.order

    def force(self, theta: Tensor) -> Tensor:
        r"""Minus the gradient: :math:`k T(\cdot, \theta, \dots, \theta)`."""
        runs, sizes, dim = theta.shape
        slope = self.noise[:, None]
        if self.order > 1:
            slope = theta @ self.noise.reshape(runs, dim, -1)
            for _ in range(self.order - 2):
                slope = (slope.reshape(runs, sizes, -1, dim) * theta[:, :, None]).sum(-1)
        pull = self.strength * (theta * self.direction[:, None]).sum(-1) ** (self.order - 1)
        return self.order * (slope + pull[..., None] * self.direction[:, None])

    def field(self) -> Tensor:
        """First-order average over β: see :class:`Planted`."""
        trace = self.noise
        while trace.ndim > (2 if self.order % 2 else 3):
            trace = trace.diagonal(dim1=-2, dim2=-1).sum(-1)
        v = self.direction
        constant = trace_constant(self.order, self.dim)
        if not self.even:
            return constant * (trace[:, None] + self.strength[:, None] * v[:, None])
        spike = v[:, :, None] * v[:, None, :]
        full = trace[:, None] + self.strength[:, None, None] * spike[:, None]
        mean = full.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None]
        return constant * (full - mean * torch.eye(self.dim, dtype=full.dtype))


def tensor_pca(
    dim: int,
    sizes: Sequence[int],
    order: int = 3,
    *,
    runs: int | range = 20,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> TensorModel:
    r"""Instances of tensor PCA with :math:`T = \sqrt n\, v^{\otimes k} + W`.

    Parameters
    ----------
    dim : int
        Dimension d, at least 3.
    sizes : sequence of int
        Squared signal-to-noise ratios n, as many samples of ratio one are worth. All share W.
    order : int
        k, from 1 to 4.
    runs : int or range
        How many instances, or their numbers; an instance depends on its number and the seed only.
    seed : int
        Of W and v.
    dtype : torch.dtype
        Of the energy. Draws have the precision of float32 in any.

    Raises
    ------
    TypeError, ValueError
        If a number is out of range.

    Notes
    -----
    Memory: ``runs * dim**order`` numbers, and once more while they are made symmetric.
    """
    numbers = check_instance(dim, sizes, order, runs, seed)
    v = uniform_points(seed, numbers, 1, dim, dtype, DIRECTION)[:, 0]
    noise = normals(seed, numbers, DATA, dim ** (order - 1), dim, dtype)
    return TensorModel(
        order=order,
        sizes=tuple(int(size) for size in sizes),
        runs=numbers,
        seed=seed,
        direction=v,
        noise=symmetric_part(noise.reshape(len(numbers), *[dim] * order)),
    )


def symmetric_part(tensors: Tensor) -> Tensor:
    """The mean of tensors (runs, dim, ..., dim) over all orders of their indices."""
    orders = list(itertools.permutations(range(1, tensors.ndim)))
    total = torch.zeros_like(tensors)
    for places in orders:
        total += tensors.permute(0, *places)
    return total / len(orders)


def check_instance(dim: int, sizes: Sequence[int], order: int, runs: int | range, seed: int) -> range:
    """Refuse what no model is made of; returns the numbers of the runs."""
    check_count("dim", dim, low=3)
    check_count("order", order, low=1, high=4)
    check_count("seed", seed, low=0, high=2**64 - 1)
    if not isinstance(sizes, Sequence):
        raise TypeError(f"sizes={sizes!r} is a {type(sizes).__name__}, not a sequence of numbers of samples")
    if not len(sizes):
        raise ValueError("sizes is empty: give at least one number of samples")
    for size in sizes:
        check_count("size", size)
    if not isinstance(runs, range):
        check_count("runs", runs)
        runs = range(runs)
    if not len(runs):
        raise ValueError(f"runs={runs} is empty: give at least one number")
    check_count("runs", min(runs), low=0)
    return runs
