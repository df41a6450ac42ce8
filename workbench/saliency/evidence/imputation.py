"""Noisy linear imputation: removed pixels as weighted means of their neighbours."""

import numpy as np
import torch
from scipy.sparse import csc_array
from scipy.sparse.linalg import splu
from torch import Tensor

# Weights of neighbours by their offset (down, right); the other four mirror these.
_WEIGHTS = {(0, 1): 1 / 6, (1, 0): 1 / 6, (1, 1): 1 / 12, (1, -1): 1 / 12}


def linear_imputation(inputs: Tensor, removed: Tensor, noise: Tensor | None = None) -> Tensor:
    """Fill removed pixels so that each is the weighted mean of its neighbours, then add noise there.

    Neighbours above, below and beside a pixel weigh 1/6, diagonal ones 1/12; at the border the weights of
    those that exist are scaled to a sum of 1. The linear system couples removed pixels. It is sparse,
    symmetric and positive definite, the same for all channels, and one factorisation in float64 on the CPU
    solves all images together.

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

    Notes
    -----
    Source: Rong et al., "A consistent and efficient evaluation strategy for attribution methods" (ROAD), ICML
    2022; the weights as in their released code.
    """
    if removed.flatten(1).all(1).any():
        raise ValueError("all pixels of an image are removed: nothing is left to impute from")
    if not removed.any():
        return inputs.clone()
    gone = removed.cpu()
    x = inputs.detach().cpu().double()
    known = torch.where(gone[:, None], 0.0, x)
    right = _neighbour_sums(known).movedim(1, -1)[gone]  # (removed pixels, C)
    weights = _neighbour_sums(torch.ones(1, 1, *gone.shape[1:], dtype=torch.float64))[:, 0]
    system = _system(gone.numpy(), weights.expand(gone.shape)[gone].numpy())
    factors = splu(system, "MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    filled = x.movedim(1, -1).clone()
    filled[gone] = torch.from_numpy(factors.solve(right.numpy()))
    if noise is not None:
        filled[gone] += noise.cpu().double().movedim(1, -1)[gone]
    return torch.where(removed[:, None], filled.movedim(-1, 1).to(inputs), inputs)


def _system(removed: np.ndarray, weights: np.ndarray) -> csc_array:
    """Matrix of the removed pixels of all images: sums of weights, and minus those of removed neighbours."""
    count = len(weights)
    numbers = np.full(removed.shape, -1)
    numbers[removed] = np.arange(count)
    rows, columns, values = [np.arange(count)], [np.arange(count)], [weights]
    height, width = removed.shape[1:]
    for (down, right), weight in _WEIGHTS.items():
        left = max(0, -right)
        here = numbers[:, : height - down, left : width - max(0, right)]
        there = numbers[:, down:, left + right : width + min(0, right)]
        both = (here >= 0) & (there >= 0)
        rows += [here[both], there[both]]
        columns += [there[both], here[both]]
        values += [np.full(2 * both.sum(), -weight)]
    entries = np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))
    return csc_array(entries, shape=(count, count))


def _neighbour_sums(planes: Tensor) -> Tensor:
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
