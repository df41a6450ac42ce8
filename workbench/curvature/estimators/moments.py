"""Mean and standard error of a stream of vectors, of which none is kept."""

import math

import torch
from torch import Tensor


class RunningMoments:
    """Mean and spread of all rows seen, in float64, by Chan, Golub and LeVeque's update."""

    def __init__(self, size: int, device: torch.device | str = "cpu") -> None:
        self.count = 0
        self.mean = torch.zeros(size, dtype=torch.float64, device=device)
        self._squares = torch.zeros_like(self.mean)

    def add(self, rows: Tensor) -> None:
        """Take further rows (k, size) into account."""
        rows = rows.double()
        total = self.count + len(rows)
        mean = rows.mean(dim=0)
        step = mean - self.mean
        squares = self._squares + (rows - mean).square().sum(dim=0)
        squares += step.square() * (self.count * len(rows) / total)
        self.mean, self._squares, self.count = self.mean + step * (len(rows) / total), squares, total

    def stderr(self) -> Tensor:
        """Return the standard error of the mean; nan for one row."""
        if self.count < 2:
            return torch.full_like(self.mean, math.nan)
        return (self._squares / (self.count * (self.count - 1))).sqrt()
