"""Online SGD: its drawn gradients have the law of fresh tensors; its points are those of each size."""

import math

import pytest
import torch

from workbench.particles.planted.index_models import single_index
from workbench.particles.planted.online import _tensor_gradient, online_sgd
from workbench.particles.planted.sphere import normalise, tangent, uniform_points
from workbench.particles.planted.tensors import symmetric_part, tensor_pca


def test_the_drawn_gradient_has_the_law_of_fresh_tensors():
    count, dim = 20_000, 4
    random = torch.Generator().manual_seed(0)
    theta, v = (uniform_points(seed, range(1), 1, dim, torch.float64)[0, 0] for seed in (1, 2))
    tensors = torch.randn(count, dim, dim, dim, dtype=torch.float64, generator=random)
    fresh = symmetric_part(tensors) + torch.einsum("a,b,c->abc", v, v, v)
    gradient = tangent(theta, 3 * torch.einsum("rabc,b,c->ra", fresh, theta, theta))
    z = torch.randn(count, dim, dtype=torch.float64, generator=random)
    drawn = tangent(theta, _tensor_gradient(3, theta, v, z))
    for each in (gradient, drawn):
        mean = tangent(theta, 3 * (theta @ v) ** 2 * v)
        assert (each.mean(0) - mean).abs().max() < 5 * math.sqrt(3 / count)
        covariance = 3 * (torch.eye(dim, dtype=torch.float64) - theta[:, None] * theta)
        assert (each.T.cov() - covariance).abs().max() < 5 * 3 * math.sqrt(2 / count)


@pytest.mark.parametrize("make", [tensor_pca, single_index])
def test_a_size_ends_where_a_longer_pass_was(make):
    both = online_sgd(make(5, [20, 50], runs=3))
    first = online_sgd(make(5, [20], runs=3))
    torch.testing.assert_close(both[:, :1], first)
    torch.testing.assert_close(both, normalise(both))


def test_many_samples_find_a_direction():
    model = tensor_pca(6, [5, 3000], runs=20)
    few, many = model.overlap(online_sgd(model)).mean(0)
    assert many > 0.9
    assert few < 0.4


def test_refusal():
    with pytest.raises(ValueError, match="rate=0"):
        online_sgd(tensor_pca(4, [5], runs=1), rate=0)
