"""The planted maximum is one, and the only one; the head has the condition that was asked for."""

import pytest
import torch

from workbench.particles.attacks import gradient_ascent, planted_maximiser
from workbench.particles.attacks.attack_operator import ascent


def test_the_maximum_is_zero_and_reached() -> None:
    planted = planted_maximiser(12, seed=4)
    draws = torch.randn(2000, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert planted.evaluate(draws).goal.max() < 0
    assert gradient_ascent(planted, 3000).best[-1] > -1e-12


def test_no_two_points_have_the_same_outputs() -> None:
    planted = planted_maximiser(6)
    one, other = torch.randn(2, 500, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    apart = (planted.network(one) - planted.network(other)).norm(dim=1)
    assert (apart >= 0.5 * (one - other).norm(dim=1)).all()  # x + W tanh(V x) / 2, orthogonal W and V


def test_the_condition_is_that_of_the_head() -> None:
    planted = planted_maximiser(5, condition=50.0)
    outputs = torch.zeros(5, dtype=torch.float64)
    hessian = torch.autograd.functional.hessian(lambda y: planted.goal(y[None])[0], outputs)
    values = torch.linalg.eigvalsh(-hessian)
    assert (values[-1] / values[0]).item() == pytest.approx(50, rel=1e-9)


def test_rounded_outputs_have_no_gradient() -> None:
    flat = planted_maximiser(5, bits=8)
    assert not ascent(flat, flat.start).any()
    points = torch.randn(9, 5, dtype=torch.float64)
    torch.testing.assert_close(
        flat.network(points), planted_maximiser(5).network(points), rtol=0, atol=2.0**-9
    )


@pytest.mark.parametrize("options", [{"dim": 1}, {"condition": 0.5}, {"bits": -1}, {"seed": -1}])
def test_what_cannot_be_is_refused(options) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        planted_maximiser(**options)
