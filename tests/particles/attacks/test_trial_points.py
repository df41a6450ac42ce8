"""Poll directions span the space positively; covering points fill the ball."""

import torch

from workbench.particles.attacks.trial_points import points_in_ball, spanning_set
from workbench.random_vectors import generator


def test_every_vector_makes_a_sharp_angle_with_a_direction() -> None:
    draws = generator(0)
    for dim in (2, 3, 10):
        directions = spanning_set(dim, draws)
        basis = directions[:dim]
        identity = torch.eye(dim, dtype=torch.float64)
        torch.testing.assert_close(basis @ basis.T, identity, rtol=0, atol=1e-12)
        assert torch.equal(directions[dim:], -basis)
        vectors = torch.randn(500, dim, dtype=torch.float64, generator=draws)
        cosines = (vectors / vectors.norm(dim=1, keepdim=True)) @ directions.T
        assert (
            cosines.max(1).values >= dim**-0.5 - 1e-12
        ).all()  # the cosine measure of 2 dim such directions


def test_directions_change_and_their_law_has_no_axis() -> None:
    draws = generator(0)
    first = torch.stack([spanning_set(3, draws) for _ in range(4000)])
    assert not torch.equal(first[0], first[1])
    second_moment = torch.einsum("nki,nkj->ij", first, first) / 8000
    torch.testing.assert_close(second_moment, torch.eye(3, dtype=torch.float64))


def test_points_in_the_ball_are_uniform() -> None:
    points = points_in_ball(20_000, 3, generator(0))
    lengths = points.norm(dim=1)
    assert lengths.max() <= 1
    for share in (0.3, 0.6, 0.9):
        assert abs((lengths < share).double().mean().item() - share**3) < 0.015  # 4 deviations
    assert points.mean(0).abs().max() < 0.015
