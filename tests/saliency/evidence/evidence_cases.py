"""Small models in float64 and plain maps of them, for the tests of evidence."""

import torch
from torch import Tensor, nn


def images(count: int, channels: int = 2, height: int = 6, width: int = 5, seed: int = 0) -> Tensor:
    """Random images in float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, channels, height, width, generator=generator, dtype=torch.float64)


def linear(channels: int = 2, height: int = 6, width: int = 5, classes: int = 3) -> nn.Module:
    """Logits that are linear in the pixels: every metric has a closed form."""
    torch.manual_seed(1)
    size = channels * height * width
    return nn.Sequential(nn.Flatten(), nn.Linear(size, classes)).double().eval()


def network(channels: int = 2, classes: int = 3) -> nn.Module:
    """A small convolutional network."""
    torch.manual_seed(2)
    return (
        nn.Sequential(
            nn.Conv2d(channels, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Tanh(),
            nn.Conv2d(4, 5, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
            nn.Linear(20, classes),
        ).double().eval()
    )  # fmt: skip


def input_gradient(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Gradient (N, C, H, W) of the logit of each target, by autograd alone."""
    x = inputs.detach().requires_grad_()
    with torch.enable_grad():
        scores = model(x).gather(1, targets[:, None]).sum()
    return torch.autograd.grad(scores, x)[0]


def gradient_map(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Signed sum of the gradient over the channels."""
    return input_gradient(model, inputs, targets).sum(1)


class Counted(nn.Module):
    """A model that remembers how many inputs it was given at each call."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.rows: list[int] = []

    def forward(self, inputs: Tensor) -> Tensor:
        self.rows.append(len(inputs))
        return self.model(inputs)


class Interrupted(nn.Module):
    """A model that raises ``KeyboardInterrupt`` at a call."""

    def __init__(self, model: nn.Module, after: int) -> None:
        super().__init__()
        self.model, self.left = model, after

    def forward(self, inputs: Tensor) -> Tensor:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return self.model(inputs)
