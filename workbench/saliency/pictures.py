"""Maps as pictures: the size of the input, and values from 0 to 1."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def resize(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    """Maps (N, T, h, w) of another size, bilinear between the centres of pixels."""
    if maps.shape[2:] == size:
        return maps
    return F.interpolate(maps, size, mode="bilinear", align_corners=False)


def stretch(maps: Tensor) -> Tensor:
    """Maps (..., h, w) from 0 to 1; a constant one tells no places apart and becomes 1, nan stays nan."""
    low, high = maps.amin(dim=(-2, -1), keepdim=True), maps.amax(dim=(-2, -1), keepdim=True)
    return torch.where(high == low, 1.0, (maps - low) / (high - low))


def as_picture(image: Tensor) -> np.ndarray | None:
    """An input (1 or 3, h, w) as a picture (h, w) or (h, w, 3) from 0 to 1, or None if it is none."""
    if image.dim() != 3 or image.shape[0] not in (1, 3):
        return None
    values = image.detach().float().cpu()
    low, high = values.min(), values.max()
    return np.asarray(((values - low) / (high - low).clamp_min(1e-12)).movedim(0, -1).squeeze(-1))
