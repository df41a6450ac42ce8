"""``sparseness``: how few pixels hold most of a map."""

import math

import torch
from torch import Tensor

from workbench.saliency.evidence.evidence_result import Evidence


def sparseness(maps: Tensor, *, seed: int = 0) -> Evidence:
    r"""Gini index of the absolute values of each map: 0 if all are equal, towards 1 if one pixel has all.

    With the sorted values :math:`a_1 \le \dots \le a_d`, it is
    :math:`\sum_i (2i - d - 1)\, a_i / (d \sum_i a_i)`. A map that is 0 everywhere, or not finite, is
    undefined.

    Parameters
    ----------
    maps : Tensor (N, H, W)
    seed : int
        Of the bootstrap.

    Returns
    -------
    Evidence

    Raises
    ------
    ValueError
        If the maps are not (N, H, W).

    Notes
    -----
    Cost: no pass through a model.
    A sparse map is easier to read, not more true: neither end is better by itself.
    Source: Chalasani et al., "Concise explanations of neural networks using adversarial training", ICML 2020.
    """
    if maps.ndim != 3 or not maps.numel():
        raise ValueError(f"maps have shape {tuple(maps.shape)}: they must be (N, H, W)")
    sizes = maps.detach().flatten(1).double().abs().sort(dim=1).values
    count = sizes.shape[1]
    weights = 2 * torch.arange(1, count + 1, device=maps.device, dtype=torch.float64) - count - 1
    gini = sizes @ weights / (count * sizes.sum(1))
    values = gini.cpu().numpy()
    values[(~maps.flatten(1).isfinite().all(1) | (sizes[:, -1] == 0)).cpu().numpy()] = math.nan
    return Evidence("sparseness", values, notes=("Gini index of |map|",), seed=seed)
