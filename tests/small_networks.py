"""Networks of three outputs whose parameters are used in more than the plain way."""

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class Checkpointed(nn.Module):
    """Whose body is computed again in the backward pass."""

    def __init__(self, inputs: int, width: int, reentrant: bool = False) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(inputs, width), nn.Linear(width, 3)
        self.body = nn.Sequential(nn.Tanh(), nn.Linear(width, width), nn.Tanh())
        self.reentrant = reentrant

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(checkpoint(self.body, self.stem(inputs), use_reentrant=self.reentrant))


class Tied(nn.Module):
    """Whose two layers have one weight."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(inputs, inputs), nn.Linear(inputs, inputs)
        self.second.weight = self.first.weight

    def forward(self, inputs: Tensor) -> Tensor:
        return self.second(self.first(inputs).tanh())[:, :3]
