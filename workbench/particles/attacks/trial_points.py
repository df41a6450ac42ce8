"""Where a step looks: the positive spanning set of a poll, and points that cover a ball in the long run."""

import torch
from torch import Tensor


def spanning_set(dim: int, generator: torch.Generator) -> Tensor:
    """Unit directions (2 dim, dim) that span the space positively: an orthonormal basis and its negative.

    The basis is that of a Householder reflection at a random vector, in float64; over many steps the
    directions are dense in the sphere.
    """
    vector = torch.randn(dim, generator=generator, dtype=torch.float64)
    vector = vector / torch.linalg.vector_norm(vector)
    basis = torch.eye(dim, dtype=torch.float64) - 2 * vector[:, None] * vector
    return torch.cat([basis, -basis])


def points_in_ball(count: int, dim: int, generator: torch.Generator) -> Tensor:
    """Points (count, dim) uniform in the Euclidean unit ball: dense in it, with probability 1."""
    directions = torch.randn(count, dim, generator=generator, dtype=torch.float64)
    directions = directions / torch.linalg.vector_norm(directions, dim=1, keepdim=True)
    lengths = torch.rand(count, 1, generator=generator, dtype=torch.float64) ** (1 / dim)
    return lengths * directions
