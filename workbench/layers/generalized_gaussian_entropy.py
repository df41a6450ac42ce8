"""``GeneralizedGaussianEntropy``: what latents cost under generalised Gaussians that a network predicts."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workbench.choices import check_choice, check_number
from workbench.kernels.dispatch import computing
from workbench.kernels.generalized_gaussians import generalized_gaussian_bits
from workbench.layers.scale_bounds import BOUNDS, bounded, scale_bound


class GeneralizedGaussianEntropy(nn.Module):
    """Quantise latents, and estimate the bits that a range coder needs for them.

    In training, quantising is uniform noise of width 1, which can be differentiated; in eval mode it rounds
    the distance from the mean, so that what is coded is whole numbers about 0 and their distribution depends
    on scale and shape only. There are no parameters: means, scales and shapes come from elsewhere.

    Parameters
    ----------
    shape : float, optional
        The same for all latents: 2 for Gaussians, 1 for Laplace distributions. Else each has its own.
    shapes : pair of float
        Smallest and largest shape that is predicted, between 0.1 and 20.
    bound : {"tail", "proportional", "constant", "none"}
        Of the scales from below, as a function of the shape: :mod:`workbench.layers.scale_bounds`.

    Raises
    ------
    TypeError, ValueError
        If a number is out of range, or no bound has this name.

    Notes
    -----
    Cost: :func:`~workbench.kernels.generalized_gaussian_bits`, once. Source: arXiv 2602.01325 (softplus and
    limits for the parameters, a bound of scales that depends on the shape).
    """

    def __init__(
        self,
        shape: float | None = None,
        *,
        shapes: tuple[float, float] = (0.2, 4.0),
        bound: str = "tail",
    ) -> None:
        super().__init__()
        low, high = shapes
        check_number("the smallest shape", low, low=0.1, below=20)
        check_number("the largest shape", high, above=low, below=20)
        if shape is not None:
            check_number("shape", shape, low=0.1, below=20)
        check_choice("bound", bound, BOUNDS)
        self.shape, self.shapes, self.bound = shape, (float(low), float(high)), bound

    def forward(
        self, latents: Tensor, mean: Tensor, scale: Tensor, shape: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return quantised latents, in the dtype of latents and mean, and the bits of each.

        All is computed in at least float32: noise in bfloat16 would have steps that can be seen.

        Parameters
        ----------
        latents, mean : Tensor
            Of shapes that broadcast with the others.
        scale, shape : Tensor
            As a network gives them, of either sign: :meth:`distribution` makes scales and shapes of them. No
            ``shape`` where the layer has one for all.

        Raises
        ------
        ValueError
            If ``shape`` is missing, or is one too many.
        """
        alpha, beta = self.distribution(scale, shape)
        exact = computing(latents, mean)
        distance = latents.to(exact) - mean.to(exact)
        distance = distance + torch.rand_like(distance) - 0.5 if self.training else distance.round()
        bits = generalized_gaussian_bits(distance, torch.zeros_like(distance), alpha, beta)
        quantised = mean.to(exact) + distance
        return quantised.to(torch.promote_types(latents.dtype, mean.dtype)), bits

    def distribution(self, scale: Tensor, shape: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Scales α and shapes β within their bounds, by softplus; at a bound, gradients lead back only.

        In at least float32.
        """
        if (shape is None) != (self.shape is not None):
            fault = "shape is missing" if shape is None else f"shape is {self.shape} for all: pass none"
            raise ValueError(fault)
        scale = scale.to(computing(scale))
        if shape is None:
            beta = torch.full_like(scale, self.shape)  # type: ignore[arg-type]
        else:
            low, high = self.shapes
            beta = -bounded(-bounded(F.softplus(shape.to(computing(shape))), low), -high)
        alpha, beta = torch.broadcast_tensors(F.softplus(scale), beta)
        return bounded(alpha, scale_bound(beta, self.bound)), beta

    def extra_repr(self) -> str:
        """Return what the layer was made with."""
        return f"shape={self.shape}, shapes={self.shapes}, bound={self.bound!r}"
