"""Maps that know nothing of the network: what any other map has to beat."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workbench.random_vectors import filled_rows, generator
from workbench.saliency.explainers import MapFunction


def random_floor(seed: int = 0) -> MapFunction:
    """Uniform random maps, drawn anew at each call, one after the other, from a generator of its own."""
    random = generator(seed)

    def random_maps(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        shape = (len(inputs), *inputs.shape[2:])
        return filled_rows(shape, lambda each: each.uniform_(generator=random), torch.float32).to(
            inputs.device
        )

    return random_maps


def centre_map(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """A cone: 1 at the centre of the image, falling in proportion to the distance to 0 at its corners."""
    height, width = inputs.shape[2:]
    y = torch.arange(height, dtype=torch.float64) - (height - 1) / 2
    x = torch.arange(width, dtype=torch.float64) - (width - 1) / 2
    distance = (y[:, None] ** 2 + x**2).sqrt()
    cone = 1 - distance / distance.max().clamp(min=1)
    return cone.to(inputs).expand(len(inputs), height, width)


def edge_map(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Sobel's gradient magnitude of the mean of the channels, edges continued; scaled as in scikit-image."""
    grey = F.pad(inputs.detach().mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    smooth = torch.tensor([1.0, 2.0, 1.0]).to(inputs) / 4
    slope = torch.tensor([1.0, 0.0, -1.0]).to(inputs)
    kernels = torch.stack([slope[:, None] * smooth, smooth[:, None] * slope])[:, None]
    return F.conv2d(grey, kernels).square().mean(1).sqrt()


FLOORS: dict[str, Callable[[int], MapFunction]] = {
    "random map": random_floor,
    "centre map": lambda seed: centre_map,
    "edge detector": lambda seed: edge_map,
}
"""By name: ``FLOORS[name](seed)`` is a map function."""
