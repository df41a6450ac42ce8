"""The closed forms of the whole grid against contributions that are built in full."""

import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workbench.saliency.aggregation import AGGREGATIONS, aggregate
from workbench.saliency.extraction import EXTRACTIONS, own_layer

EXPLICIT = {
    "norm": lambda e: e.square().sum(1).sqrt(),
    "positive_norm": lambda e: e.clamp(min=0).square().sum(1).sqrt(),
    "sum": lambda e: e.sum(1),
    "positive_sum": lambda e: e.sum(1).clamp(min=0),
    "max": lambda e: e.amax(1),
    "abs_max": lambda e: e.abs().amax(1),
}
SIZES = {"conv1x1": 1, "conv3x3": 3, "conv5x5": 5, "depthwise3x3": 3, "depthwise5x5": 5}


def pair(channels: int = 7, shift: float = 0.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x, g = torch.randn(2, 2, channels, 6, 5, generator=generator, dtype=torch.float64)
    return x + shift, g - shift


def explicit(extract: str, x: Tensor, g: Tensor) -> Tensor:
    """All entries of each location's contribution: (N, entries, h, w)."""
    if extract == "bias":
        return g
    if extract == "scaling":
        return x * g
    size = SIZES[extract]
    patches = F.unfold(x, size, padding=size // 2).unflatten(1, (x.shape[1], -1)).unflatten(3, x.shape[2:])
    if extract.startswith("depthwise"):
        return (patches * g[:, :, None]).flatten(1, 2)
    return (patches[:, :, :, None] * g[:, None, None]).flatten(1, 3)


@pytest.mark.parametrize(("extract", "name"), list(itertools.product(EXTRACTIONS, AGGREGATIONS)))
@pytest.mark.parametrize("shift", [0.0, 3.0, -3.0], ids=["mixed", "opposite", "opposite2"])
def test_each_point_of_the_grid_is_that_of_contributions_in_full(
    extract: str, name: str, shift: float
) -> None:
    x, g = pair(shift=shift)
    found = aggregate(EXTRACTIONS[extract](x, g), name)
    torch.testing.assert_close(found, EXPLICIT[name](explicit(extract, x, g)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", AGGREGATIONS)
@pytest.mark.parametrize(
    "settings",
    [
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": (3, 2), "stride": 2, "padding": (1, 0)},
        {"kernel_size": 3, "padding": 2, "dilation": 2, "groups": 3},
        {"kernel_size": (4, 3), "padding": "same"},
        {"kernel_size": 2, "padding": "valid", "groups": 6},
    ],
    ids=["plain", "strided", "dilated groups", "same", "valid depthwise"],
)
def test_own_layer_has_the_entries_of_the_weight_gradients_of_its_locations(
    name: str, settings: dict
) -> None:
    layer = nn.Conv2d(6, 12, bias=False, dtype=torch.float64, **settings)
    x = pair(6)[0]
    y = layer(x)
    g = torch.randn(y.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    entries = torch.stack([
        torch.stack([_weight_gradient(layer, x[n : n + 1], g[n : n + 1], i, j)
                     for i in range(y.shape[2]) for j in range(y.shape[3])], dim=1)
        for n in range(len(x))
    ])  # fmt: skip
    expected = EXPLICIT[name](entries).unflatten(1, y.shape[2:])
    torch.testing.assert_close(aggregate(own_layer(layer, x, g), name), expected, rtol=1e-11, atol=1e-11)


def _weight_gradient(layer: nn.Conv2d, x: Tensor, g: Tensor, i: int, j: int) -> Tensor:
    """All entries of the weight gradient that one location makes; those across groups do not exist."""
    only = torch.zeros_like(g)
    only[:, :, i, j] = g[:, :, i, j]
    return torch.autograd.grad(layer(x), layer.weight, only)[0].flatten()


def test_own_layer_of_anything_but_a_zero_padded_convolution_is_refused() -> None:
    x, g = pair()
    with pytest.raises(ValueError, match=r"a Linear: it needs an nn\.Conv2d"):
        own_layer(nn.Linear(2, 2), x, g)
    with pytest.raises(ValueError, match="Conv2d with zero padding"):
        own_layer(nn.Conv2d(7, 7, 3, padding=1, padding_mode="reflect"), x, g)
    with pytest.raises(ValueError, match="at the input"):
        own_layer(None, x, g)


def test_small_gradients_do_not_vanish_in_their_squares() -> None:
    x, g = (each.float() for each in pair())
    found = aggregate(EXTRACTIONS["conv1x1"](x, 1e-15 * g), "norm")
    expected = 1e-15 * (x.double().norm(dim=1) * g.double().norm(dim=1))
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=0)
