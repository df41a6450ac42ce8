"""Small networks whose saliency is known in other ways."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CLASSES = 5


class Residual(nn.Module):
    """A block whose rectifiers and sum work in place."""

    def __init__(self, entering: int, leaving: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(entering, leaving, 3, stride, 1)
        self.norm = nn.BatchNorm2d(leaving)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(leaving, leaving, 3, 1, 1, groups=2)
        self.short = nn.Conv2d(entering, leaving, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(self.relu1(self.norm(self.conv1(x))))
        y += self.short(x)
        return F.relu_(y)


def network(seed: int = 0, dtype: torch.dtype = torch.float64) -> nn.Sequential:
    """Residual network in eval mode, with statistics of its own; it ends in an average and a linear layer."""
    torch.manual_seed(seed)
    model = nn.Sequential()
    model.add_module("stem", nn.Conv2d(3, 6, 3, padding=1))
    model.add_module("relu", nn.ReLU(inplace=True))
    model.add_module("first", Residual(6, 8, 2))
    model.add_module("second", Residual(8, 8, 2))
    model.add_module("pool", nn.AdaptiveAvgPool2d(1))
    model.add_module("flat", nn.Flatten())
    model.add_module("head", nn.Linear(8, CLASSES))
    model.train()
    model(torch.randn(16, 3, 16, 16))
    return model.eval().to(dtype)


def images(count: int = 3, seed: int = 1, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, 16, 16, generator=generator, dtype=torch.float64).to(dtype)


def hooks(model: nn.Module) -> int:
    """How many hooks there are in the whole model."""
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks) + len(module._backward_hooks)
        for module in model.modules()
    )
