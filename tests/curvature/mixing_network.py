"""``Mixing``: a network that no product example by example, or layer by layer, can stand for."""

import torch
from torch import Tensor, nn


class Mixing(nn.Module):
    """Examples look at one another."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(width, width), nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(self.first(x))
        return self.last(hidden - hidden.mean(dim=0))
