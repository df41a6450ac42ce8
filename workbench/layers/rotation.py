"""Rotary positions: pairs of channels turned by angles in proportion to their position."""

import torch
from torch import Tensor

_LONGEST = 10_000.0  # ratio of the largest frequency to the smallest


def angles_of(places: int | tuple[int, int], channels: int, device: torch.device) -> Tensor:
    """Angles (positions, channels / 2) of each pair of channels, in float64.

    Parameters
    ----------
    places : int or (int, int)
        Positions in a line, or rows and columns of a grid, where the first half of the channels turns with
        the row, the second with the column.
    channels : int
        A multiple of 2, or of 4 for a grid.
    device : torch.device
        Of the angles.
    """
    if isinstance(places, int):
        return _turns(places, channels // 2, device)
    rows, columns = (_turns(count, channels // 4, device) for count in places)
    by_row = rows[:, None].expand(-1, len(columns), -1)
    by_column = columns[None].expand(len(rows), -1, -1)
    return torch.cat([by_row, by_column], -1).flatten(0, 1)


def rotate(x: Tensor, angles: Tensor) -> Tensor:
    """Turn the pairs of neighbouring channels of x (…, positions, channels)."""
    first, second = x[..., 0::2], x[..., 1::2]
    cosine, sine = angles.cos(), angles.sin()
    return torch.stack([first * cosine - second * sine, second * cosine + first * sine], -1).flatten(-2)


def _turns(positions: int, count: int, device: torch.device) -> Tensor:
    """Angles (positions, count) at frequencies from 1 down."""
    frequencies = _LONGEST ** -torch.linspace(0, 1, count, dtype=torch.float64, device=device)
    return torch.arange(positions, device=device)[:, None] * frequencies
