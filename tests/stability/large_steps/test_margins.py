"""The widest gap: closed forms, a search over all directions of the plane, and what it certifies."""

import numpy as np
import pytest
import torch

from workbench.stability.large_steps import example_sets, max_margins, worst_case


def plane(seed: int, count: int = 12) -> torch.Tensor:
    """Rows around (2, 0), which a plane through 0 separates."""
    source = torch.Generator().manual_seed(seed)
    return torch.randn(count, 2, dtype=torch.float64, generator=source) * 0.7 + torch.tensor([2.0, 0.0])


def test_two_orthogonal_rows() -> None:
    found = max_margins(torch.tensor([[[3.0, 0.0], [0.0, 4.0]]]))
    assert found.margin.item() == pytest.approx(12 / 5, rel=1e-12)  # the height of a right triangle
    np.testing.assert_allclose(found.direction[0], [0.8, 0.6], rtol=1e-12)
    assert found.radius.item() == 4
    assert found.difficulty.item() == pytest.approx((20 / 12) ** 2)


def test_one_row_is_its_own_normal() -> None:
    found = max_margins(torch.tensor([[[3.0, -4.0]]]))
    assert (found.margin.item(), found.upper.item()) == (pytest.approx(5), pytest.approx(5))


@pytest.mark.parametrize("seed", range(5))
def test_no_direction_of_the_plane_does_better(seed: int) -> None:
    rows = plane(seed)
    angles = torch.linspace(-torch.pi, torch.pi, 200001, dtype=torch.float64)
    best = (torch.stack([angles.cos(), angles.sin()], 1) @ rows.T).amin(1).max().item()
    found = max_margins(rows[None])
    if best > 0:
        assert best <= found.margin.item() <= best + 1e-4
    else:
        assert found.margin.item() == 0


def test_margin_and_certificate_agree() -> None:
    found = max_margins(example_sets(["separable", "ill-conditioned"], ["1/8", "3/9"], seeds=[0]).rows)
    assert (found.margin > 0).all()
    torch.testing.assert_close(found.margin, found.upper, rtol=1e-10, atol=0)
    rows = example_sets(["separable"], ["1/8"], seeds=[0]).rows
    margin = (rows[0] @ found.direction[0]).min().item()
    assert margin == pytest.approx(found.margin[0].item(), rel=1e-14)  # other products round otherwise


def test_a_contradiction_has_no_gap() -> None:
    found = max_margins(example_sets(["contradictory"], ["0/1"], seeds=[0, 1]).rows)
    assert (found.margin == 0).all()
    assert (found.upper < 1e-12).all()
    assert found.difficulty.isinf().all()


def test_the_worst_case_has_the_gap_of_its_two_examples() -> None:
    found = max_margins(worst_case(50).rows)
    assert found.margin.item() == pytest.approx(0.5)
    assert found.difficulty.item() == pytest.approx(5.0)


def test_the_smoothness_is_the_largest_eigenvalue_of_the_hessian_at_0() -> None:
    rows = plane(0)

    def loss(theta: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.softplus(-rows @ theta).mean()

    hessian = torch.autograd.functional.hessian(loss, torch.zeros(2, dtype=torch.float64))
    expected = torch.linalg.eigvalsh(hessian)[-1]
    assert max_margins(rows[None]).smoothness.item() == pytest.approx(expected.item(), rel=1e-10)


def test_what_is_no_set_is_refused() -> None:
    with pytest.raises(ValueError, match=r"rows of shape \(2, 2\)"):
        max_margins(torch.ones(2, 2))
    with pytest.raises(ValueError, match="must be finite"):
        max_margins(torch.full((1, 2, 2), torch.nan))
