"""Ascent ends where the force is radial, keeps signs, and finds a strong spike."""

import torch

from workbench.particles.planted.ascent import ascend
from workbench.particles.planted.sphere import tangent, uniform_points
from workbench.particles.planted.tensors import tensor_pca


def test_it_ends_at_a_critical_point():
    model = tensor_pca(5, [400], 3, runs=6, dtype=torch.float64)
    end = ascend(model, model.partial_trace(), steps=300)
    force = model.force(end)
    assert (tangent(end, force).norm(dim=-1) < 1e-8 * force.norm(dim=-1)).all()
    assert (model.energy(end) < model.energy(model.partial_trace())).all()


def test_of_a_matrix_it_is_the_first_eigenvector():
    model = tensor_pca(5, [400], 2, runs=6, dtype=torch.float64)
    start = uniform_points(1, range(6), 1, 5, torch.float64)
    tensor = 20 * model.direction[:, :, None] * model.direction[:, None] + model.noise
    first = torch.linalg.eigh(tensor).eigenvectors[..., -1]
    cosine = (ascend(model, start, steps=300)[:, 0] * first).sum(-1).abs()
    torch.testing.assert_close(cosine, torch.ones(6, dtype=torch.float64))


def test_an_odd_order_keeps_the_sign():
    model = tensor_pca(5, [10_000], 3, runs=4, dtype=torch.float64)
    torch.testing.assert_close(
        model.overlap(ascend(model, model.direction[:, None])),
        torch.ones(4, 1, dtype=torch.float64),
        atol=0.01,
        rtol=0,
    )
