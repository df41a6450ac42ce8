"""Armijo's, Polyak's and capped steps against closed forms on quadratics."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam

from workbench.stability.baselines import LengthCap, armijo_step, clipped_step, polyak_step


def quadratic(curvature: float = 3.0, at: float = 2.0) -> tuple[nn.Parameter, "Loss"]:
    x = nn.Parameter(torch.tensor([at], dtype=torch.float64))
    return x, Loss(x, curvature)


class Loss:
    """curvature / 2 * x^2, which counts how often it is asked for."""

    def __init__(self, x: nn.Parameter, curvature: float) -> None:
        self.x, self.curvature, self.calls = x, curvature, 0

    def __call__(self) -> Tensor:
        self.calls += 1
        return self.curvature / 2 * self.x.square().sum()


@pytest.mark.parametrize("rate", [0.01, 0.3, 0.66, 0.7, 5.0, 1000.0])
@pytest.mark.parametrize("decrease", [1e-4, 0.4])
def test_armijo_takes_the_largest_part_that_a_quadratic_allows(rate: float, decrease: float) -> None:
    """The loss falls enough where rate * scale * curvature <= 2 (1 - c)."""
    x, loss = quadratic()
    loss().backward()
    found = armijo_step(SGD([x], lr=rate), loss, decrease=decrease)
    halvings = max(0, math.ceil(math.log2(rate * 3 / (2 * (1 - decrease)))))
    assert found.scale == 0.5**halvings
    assert x.item() == pytest.approx(2 * (1 - 3 * rate * found.scale), rel=1e-12)
    assert found.loss == pytest.approx(1.5 * x.item() ** 2, rel=1e-12)
    assert found.evaluations == halvings + 2 == loss.calls - 1


def test_armijo_stays_where_the_update_climbs_or_nothing_is_good_enough() -> None:
    x, loss = quadratic()
    loss().backward()
    assert armijo_step(SGD([x], lr=1.0, maximize=True), loss).scale == 0
    assert x.item() == 2
    found = armijo_step(SGD([x], lr=1e9), loss, most=3)
    assert (found.scale, found.evaluations, x.item()) == (0, 4, 2)


def test_armijo_passes_over_losses_that_are_not_finite() -> None:
    x = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    loss = lambda: 3 * (x - 3).square().sum() - torch.log(2 - x).sum()  # noqa: E731
    loss().backward()  # the gradient is -11: the whole step ends at 12, where the logarithm is nan
    found = armijo_step(SGD([x], lr=1.0), loss)
    assert found.scale == 1 / 16
    assert x.item() == 1 + 11 / 16


def test_the_state_after_a_search_is_that_of_the_whole_step() -> None:
    x, loss = quadratic()
    optimizer = Adam([x], lr=100.0)
    loss().backward()
    assert armijo_step(optimizer, loss).scale < 1
    assert optimizer.state[x]["exp_avg"].item() == pytest.approx(0.1 * 6)


@pytest.mark.parametrize("curvature", [0.1, 3.0, 50.0])
def test_polyaks_step_halves_the_distance_on_a_quadratic(curvature: float) -> None:
    x, loss = quadratic(curvature)
    value = loss()
    value.backward()
    assert polyak_step([x], value.item()) == pytest.approx(1 / (2 * curvature))
    assert x.item() == pytest.approx(1)


def test_polyaks_step_knows_a_lowest_loss_and_a_largest_rate() -> None:
    """|x| + 5 from 2: with the right lowest loss the step ends at the minimum."""
    x = nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
    loss = x.abs().sum() + 5
    loss.backward()
    assert polyak_step([x], loss.item(), lowest=5.0, largest=0.5) == 0.5
    assert x.item() == 1.5
    assert polyak_step([x], 6.5, lowest=5.0) == 1.5
    assert x.item() == 0
    x.grad = None
    assert polyak_step([x], 1.0) == 0
    with pytest.raises(ValueError, match=r"loss=4\.0 is out of range"):
        polyak_step([x], 4.0, lowest=5.0)


def test_a_constant_cap_and_the_median_of_the_past() -> None:
    x = nn.Parameter(torch.zeros(2, dtype=torch.float64))
    optimizer = SGD([x], lr=1.0)
    cap = LengthCap(optimizer, longest=2.0)
    x.grad = torch.tensor([-3.0, -4.0], dtype=torch.float64)
    assert cap.step() == pytest.approx(0.4)
    torch.testing.assert_close(x.detach(), torch.tensor([1.2, 1.6], dtype=torch.float64))
    usual, scales = LengthCap(optimizer, memory=3), []
    for size in (1.0, 3.0, 100.0, 1.0, 2.0, 50.0):
        x.grad = torch.tensor([size, 0.0], dtype=torch.float64)
        scales.append(usual.step())
    # lengths taken: 1, 3, then the medians 2 of (1, 3), 1, 2 of (3, 2, 1), 2 of (2, 1, 2)
    assert scales == pytest.approx([1, 1, 0.02, 1, 1, 0.04])
    with pytest.raises(ValueError, match=r"longest=-1\.0 is out of range"):
        LengthCap(optimizer, longest=-1.0)


def test_clipping_bounds_the_update_of_gradient_descent_but_not_of_adam() -> None:
    x = nn.Parameter(torch.zeros(2, dtype=torch.float64))
    x.grad = torch.tensor([-30.0, -40.0], dtype=torch.float64)
    assert clipped_step(SGD([x], lr=0.1), longest=1.0) == pytest.approx(50)
    assert x.norm().item() == pytest.approx(0.1)
    x.grad = torch.tensor([-30.0, -40.0], dtype=torch.float64)
    before = x.detach().clone()
    clipped_step(Adam([x], lr=0.1), longest=1e-3)
    assert (x - before).norm().item() == pytest.approx(0.1 * 2**0.5, rel=1e-4)


@pytest.mark.parametrize(("keywords", "name"), [({"decrease": 1.0}, "decrease"), ({"shrink": 0.0}, "shrink")])
def test_bad_arguments_are_refused(keywords: dict[str, float], name: str) -> None:
    x, loss = quadratic()
    with pytest.raises(ValueError, match=f"{name}=.* is out of range"):
        armijo_step(SGD([x], lr=1.0), loss, **keywords)  # type: ignore[arg-type]
