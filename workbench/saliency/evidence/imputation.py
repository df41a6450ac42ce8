"""Noisy linear imputation: removed pixels as weighted means of their neighbours."""

import torch
from torch import Tensor

_TOLERANCE = 1e-10  # of the residual, relative to the right-hand side


def linear_imputation(inputs: Tensor, removed: Tensor, noise: Tensor | None = None) -> Tensor:
    r"""Fill removed pixels so that each is the weighted mean of its neighbours, then add noise there.

    Neighbours above, below and beside a pixel weigh 1/6, diagonal ones 1/12; at the border the weights of
    those that exist are scaled to a sum of 1. The linear system couples removed pixels; it is symmetric and
    positive definite, and conjugate gradients solve it for all images and channels together, in float64, to a
    relative residual of 1e-10.

    Parameters
    ----------
    inputs : Tensor (B, C, H, W)
    removed : Tensor (B, H, W) of bool
        In no image all pixels.
    noise : Tensor (B, C, H, W), optional
        Added to the removed pixels.

    Returns
    -------
    Tensor (B, C, H, W)
        Equal to the inputs where nothing was removed.

    Raises
    ------
    ValueError
        If all pixels of an image are removed.
    RuntimeError
        If the solution was not reached, for inputs that are not finite.

    Notes
    -----
    Source: Rong et al., "A consistent and efficient evaluation strategy for attribution methods" (ROAD), ICML
    2022; the weights as in their released code.
    """
    if removed.flatten(1).all(1).any():
        raise ValueError("all pixels of an image are removed: nothing is left to impute from")
    x = inputs.double()
    hole = removed[:, None].to(x.dtype)
    known = x * (1 - hole)
    weight = _neighbours(torch.ones_like(x[:1, :1]))  # 1 inside, less at the border
    mean = known.sum((2, 3), keepdim=True) / (1 - hole).sum((2, 3), keepdim=True)
    solution = _solve(hole, weight, hole * _neighbours(known), hole * mean)
    filled = known + solution
    if noise is not None:
        filled = filled + hole * noise
    return torch.where(removed[:, None], filled.to(inputs.dtype), inputs)


def _solve(hole: Tensor, weight: Tensor, right: Tensor, start: Tensor) -> Tensor:
    """Conjugate gradients for ``hole (weight u - neighbours(u)) = right``, each plane a system of its own."""
    u = start
    residual = right - hole * (weight * u - _neighbours(u))
    direction = residual
    square = _dot(residual, residual)
    bound = _TOLERANCE**2 * _dot(right, right).clamp(min=torch.finfo(right.dtype).tiny)
    for _ in range(4 * right.shape[2] * right.shape[3]):  # as many as unknowns, were arithmetic exact
        if (square <= bound).all():
            return u
        image = hole * (weight * direction - _neighbours(direction))
        step = torch.where(square > bound, square / _dot(direction, image), 0.0)  # the others have arrived
        u = u + step * direction
        residual = residual - step * image
        before, square = square, _dot(residual, residual)
        direction = residual + torch.where(square > bound, square / before, 0.0) * direction
    raise RuntimeError("the imputation did not converge: are the inputs finite?")


def _dot(first: Tensor, second: Tensor) -> Tensor:
    return (first * second).sum((2, 3), keepdim=True)


def _neighbours(planes: Tensor) -> Tensor:
    """Weighted sums of the eight neighbours of each pixel; outside there is nothing.

    1/12 of (1 2 1)' (1 2 1) has the weights of the neighbours, and 1/3 for the pixel itself.
    """
    rows = 2 * planes
    rows[..., 1:, :] += planes[..., :-1, :]
    rows[..., :-1, :] += planes[..., 1:, :]
    both = 2 * rows
    both[..., 1:] += rows[..., :-1]
    both[..., :-1] += rows[..., 1:]
    return both / 12 - planes / 3
