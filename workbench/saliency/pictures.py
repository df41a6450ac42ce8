"""Maps as pictures: the size of the input, and values from 0 to 1."""

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
