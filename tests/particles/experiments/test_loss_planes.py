"""The landscape of a network is its loss in the plane of two eigenvectors."""

import pytest
import torch
from torch import nn

import workbench as wb
from workbench.particles.experiments import loss_plane


def test_on_the_grid_it_is_the_loss():
    torch.manual_seed(0)
    data = torch.randn(20, 3), torch.randint(0, 2, (20,))
    problem = wb.Problem(nn.Linear(3, 2), nn.CrossEntropyLoss(), data)
    plane = loss_plane(problem, reach=1.5, points=7)
    pairs = wb.curvature.eigenpairs(wb.curvature.hessian(problem), 2)
    for place in ((0.5, -1.0), (-1.5, 1.5)):
        theta = problem.parameters_vector() + pairs.vectors[:, :2] @ torch.tensor(place).to(pairs.vectors)
        at = float(plane(torch.tensor(place, dtype=torch.float64)))
        assert at == pytest.approx(problem.loss_at(theta), rel=1e-4)
    assert plane.dim == 2
    assert plane.box == (-1.5, 1.5)
