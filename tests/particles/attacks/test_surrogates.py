"""A surrogate evaluates rows, and refuses what is not one."""

import math

import pytest
import torch

from workbench.particles.attacks import Surrogate

START = torch.zeros(2, dtype=torch.float64)


def make(**changes):
    parts = {"name": "s", "network": lambda x: x, "goal": lambda y: y.sum(-1), "start": START}
    return Surrogate(**(parts | changes))


def test_the_violation_is_the_sum_of_squares_of_what_exceeds_zero() -> None:
    surrogate = make(constraints=lambda y: torch.stack([y[:, 0] - 1, y[:, 1]], dim=1))
    points = torch.tensor([[0.0, 0.0], [3.0, 0.0], [3.0, 1.0], [-9.0, -9.0]], dtype=torch.float64)
    assert surrogate.evaluate(points).violation.tolist() == [0, 4, 5, 0]
    assert make().evaluate(points).violation.tolist() == [0, 0, 0, 0]


def test_what_is_not_finite_can_never_be_accepted() -> None:
    surrogate = make(goal=lambda y: 1 / y[:, 0], constraints=lambda y: y[:, 1:].log())
    found = surrogate.evaluate(torch.tensor([[0.0, -1.0]], dtype=torch.float64))
    assert found.goal.item() == -math.inf
    assert found.violation.item() == math.inf


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"network": 1}, TypeError, "network is a int"),
        ({"start": [0.0]}, TypeError, "start"),
        ({"start": torch.zeros(2, dtype=torch.int64)}, TypeError, "floating"),
        ({"start": torch.zeros(1, 2)}, ValueError, r"\(1, 2\)"),
        ({"start": torch.tensor([math.nan])}, ValueError, "finite"),
        ({"start": torch.zeros(0)}, ValueError, r"shape \(0,\)"),
        ({"upper": -torch.ones(2)}, ValueError, "outside its box"),
        ({"lower": 0.0}, TypeError, "lower is a float"),
        ({"lower": torch.ones(2), "upper": torch.zeros(2)}, ValueError, "the box is empty"),
        ({"lower": torch.ones(3)}, ValueError, r"lower has shape \(3,\)"),
        ({"network": lambda x: x[0]}, ValueError, "network returns"),
        ({"network": torch.nn.Dropout(0.5), "start": torch.ones(50)}, ValueError, "eval mode"),
        ({"goal": lambda y: y}, ValueError, "goal returns"),
        ({"constraints": lambda y: y[:, 0]}, ValueError, "constraints return"),
    ],
)
def test_what_is_no_surrogate_is_refused(change, error, match) -> None:
    with pytest.raises(error, match=match):
        make(**change)


def test_directions_lead_up_the_goal_and_down_the_violation() -> None:
    surrogate = make(goal=lambda y: y[:, 0] ** 2, constraints=lambda y: y[:, 1:])
    outputs = torch.tensor([[3.0, 2.0], [1.0, -2.0]], dtype=torch.float64)
    assert surrogate.direction(outputs).tolist() == [[6, 0], [2, 0]]
    assert surrogate.direction(outputs, "violation").tolist() == [[0, -4], [0, 0]]
    flat = make(goal=lambda y: y.detach()[:, 0])
    assert not flat.direction(outputs).any()
    assert not flat.direction(outputs, "violation").any()
