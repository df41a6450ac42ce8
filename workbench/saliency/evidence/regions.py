"""Where the object is: boxes or masks, as masks."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

Regions = Tensor | Sequence[Tensor]
"""Boxes (N, 4), a sequence of N tensors (k, 4) of boxes, or masks (N, H, W) of bool."""


def region_masks(regions: Regions, maps: Tensor) -> Tensor:
    """Masks (N, H, W) of bool, on the device of the maps.

    Parameters
    ----------
    regions : Tensor (N, 4), sequence of N tensors (k, 4), or Tensor (N, H, W) of bool
        Boxes are left, top, right, bottom in pixels; right and bottom are the first pixels outside. Several
        boxes of one sample are joined; there may be none.
    maps : Tensor (N, H, W)
        What they belong to.

    Returns
    -------
    Tensor (N, H, W) of bool
        All False where there is no object.

    Raises
    ------
    ValueError
        If the shapes do not fit, a box ends before it begins, or one that is not empty lies outside of the
        map, as one in the pixels of another picture does.
    TypeError
        If the maps are no tensor, or the regions none of these.
    """
    if not isinstance(maps, Tensor):
        raise TypeError(f"maps is a {type(maps).__name__}: pass a tensor (N, H, W)")
    if maps.ndim != 3:
        raise ValueError(f"maps have shape {tuple(maps.shape)}: they must be (N, H, W)")
    _check_kind(regions, maps)
    if isinstance(regions, Tensor) and regions.dtype == torch.bool:
        if regions.shape != maps.shape:
            raise ValueError(f"masks have shape {tuple(regions.shape)}, not {tuple(maps.shape)} as the maps")
        return regions.to(maps.device)
    if len(regions) != len(maps):
        raise ValueError(f"{len(regions)} regions for {len(maps)} maps")
    if isinstance(regions, Tensor):
        regions = regions[:, None] if regions.ndim == 2 else regions
    return torch.stack([_joined(boxes.to(maps.device), maps) for boxes in regions])


def _check_kind(regions: Any, maps: Tensor) -> None:
    how = "pass boxes (N, 4), a sequence of N tensors (k, 4), or masks (N, H, W) of bool"
    if isinstance(regions, Tensor):
        if regions.shape == maps.shape and regions.dtype != torch.bool:
            raise TypeError(f"masks are {regions.dtype}: {how}")
        return
    if isinstance(regions, str) or not isinstance(regions, Sequence):
        raise TypeError(f"regions are a {type(regions).__name__}: {how}")
    for each in regions:
        if not isinstance(each, Tensor):
            raise TypeError(f"the regions of a sample are a {type(each).__name__}: {how}")


def _joined(boxes: Tensor, maps: Tensor) -> Tensor:
    """Mask (H, W) of all boxes (k, 4) of one sample."""
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(
            f"a sample has boxes of shape {tuple(boxes.shape)}, not (k, 4): left, top, right, bottom"
        )
    left, top, right, bottom = boxes[:, :, None, None].unbind(1)
    if (right < left).any() or (bottom < top).any():
        wrong = boxes[((boxes[:, 2] < boxes[:, 0]) | (boxes[:, 3] < boxes[:, 1]))][0].tolist()
        raise ValueError(f"box {wrong} ends before it begins: boxes are left, top, right, bottom")
    height, width = maps.shape[1:]
    outside = (right <= 0) | (bottom <= 0) | (left >= width) | (top >= height) | ~(right - left).isfinite()
    outside = (outside & (right != left) & (bottom != top)).flatten()
    if outside.any():
        raise ValueError(
            f"box {boxes[outside][0].tolist()} lies outside of the map of {height} × {width} pixels: boxes "
            "are left, top, right, bottom in its pixels"
        )
    y = torch.arange(maps.shape[1], device=maps.device)[:, None]
    x = torch.arange(maps.shape[2], device=maps.device)
    return ((left <= x) & (x < right) & (top <= y) & (y < bottom)).any(0)
