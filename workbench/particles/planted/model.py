r"""What tensors and single-index models share: an energy on the sphere with one direction planted in it.

The energy of size n is :math:`E(\theta) = -\sqrt n (\theta\cdot v)^k + \text{noise}` in the mean, its noise
of variance about one wherever :math:`\theta` is: so one inverse temperature means the same in all models.
Arrays have runs first (instances of noise and direction), then sizes, then dimensions. Sizes of a run share
noise: a larger one has the same data and more, or the same noise and a stronger signal.
"""

import abc
import dataclasses
import math

import torch
from torch import Tensor

from workbench.particles.planted.sphere import normalise, spherical_moment


@dataclasses.dataclass(frozen=True)
class Planted(abc.ABC):
    """Instances of a model with a planted direction, all runs and sizes together.

    Attributes
    ----------
    order : int
        The information exponent k.
    sizes : tuple of int
        Numbers of samples n, or squared signal-to-noise ratios.
    runs : range
        Numbers of the instances.
    seed : int
        Of all noise.
    direction : Tensor (runs, dim)
        What is planted.
    """

    order: int
    sizes: tuple[int, ...]
    runs: range
    seed: int
    direction: Tensor

    name = "planted"

    @property
    def dim(self) -> int:
        """Dimension of the space."""
        return self.direction.shape[-1]

    @property
    def even(self) -> bool:
        """Whether the energy is the same at both ends of a direction."""
        return self.order % 2 == 0

    @property
    @abc.abstractmethod
    def samples(self) -> Tensor:
        """Sample gradients in a force, for each size (sizes,)."""

    @abc.abstractmethod
    def energy(self, theta: Tensor) -> Tensor:
        """The energy (runs, sizes) of points (runs, sizes, dim)."""

    @abc.abstractmethod
    def force(self, theta: Tensor) -> Tensor:
        """Minus the gradient of the energy, in the whole space, like ``theta`` (runs, sizes, dim)."""

    @abc.abstractmethod
    def field(self) -> Tensor:
        r"""What the average of a hot chain is, to first order in :math:`\beta`, over :math:`\beta`.

        :math:`-\mathrm E[\theta E(\theta)]` over the uniform law (runs, sizes, dim) for odd orders, which is
        a multiple of the partial traces; for even ones the matrices
        :math:`-\mathrm E[(\theta\theta^\top - I/d) E(\theta)]` (runs, sizes, dim, dim).
        """

    def partial_trace(self) -> Tensor:
        """The direction of the field, or of its first eigenvector (runs, sizes, dim): infinite averaging."""
        return first_direction(self.field())

    def overlap(self, theta: Tensor) -> Tensor:
        """Cosine with the planted direction (..., runs, sizes) of unit vectors; without sign if even."""
        cosine = (theta * self.direction[:, None]).sum(-1)
        return cosine.abs() if self.even else cosine


def first_direction(statistic: Tensor) -> Tensor:
    """Vectors (runs, sizes, d) normalised; of matrices (runs, sizes, d, d) the first eigenvector."""
    if statistic.ndim == 3:
        return normalise(statistic)
    return torch.linalg.eigh(statistic.double()).eigenvectors[..., -1].to(statistic.dtype)


def field_square(order: int, dim: int) -> float:
    r"""Mean squared (Frobenius) norm of the field of noise of covariance :math:`(\theta\cdot\theta')^k`.

    With :math:`t = \theta\cdot\theta'` it is :math:`\mathrm E\,t^{k+1}` for odd k, and
    :math:`\mathrm E\,t^{k+2} - \mathrm E\,t^k / d` for even k. Exact for the noise of a tensor; derived here.
    """
    if order % 2:
        return spherical_moment(order + 1, dim)
    return spherical_moment(order + 2, dim) - spherical_moment(order, dim) / dim


def trace_constant(order: int, dim: int) -> float:
    r"""The constant between fields and partial traces of a symmetric tensor of this order.

    :math:`\mathrm E[\theta\,T(\theta,\dots,\theta)]` is :math:`k!!/(d(d+2)\cdots(d+k-1))` times
    :math:`\sum T_{ijj\dots}` for odd k. For even k the traceless part of
    :math:`\mathrm E[\theta\theta^\top T(\theta,\dots)]` is :math:`k (k-1)!!/(d(d+2)\cdots(d+k))` times that
    of :math:`\sum T_{abjj\dots}`. By counting pairings; derived here.
    """
    if order % 2:
        return spherical_moment(order + 1, dim)
    return order / (order + 1) * spherical_moment(order + 2, dim)


def averaging_time(order: int, dim: int, beta: float) -> float:
    r"""Times in which a direction is forgotten until the average's signal equals its own noise.

    The signal is :math:`\beta` times the field of the energy's noise, the noise that of an average over so
    many independent points: :math:`2/(\beta^2 \mathrm E\,t^{k+1})` for odd k, which is about
    :math:`2d/(3b^2)` for k = 3 and :math:`\beta = b \sqrt d`. For even k it is that of the second moments,
    which are forgotten 2d/(d - 1) times as fast. To first order in :math:`\beta`; derived here.

    Parameters
    ----------
    order, dim : int
    beta : float
        Over :math:`\sqrt d`; inf comes out at 0.
    """
    square = dim * beta**2 * field_square(order, dim)
    if square == 0:
        return math.inf
    return 2 / square if order % 2 else (1 - 1 / dim) ** 2 / square
