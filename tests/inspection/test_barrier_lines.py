"""Barriers between checkpoints against losses whose barrier is known."""

import copy
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import workbench as wb
from workbench.inspection import Barriers, barriers
from workbench.progress import listening


class Point(nn.Module):
    """One parameter that is the output; the loss is any function of it."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(1, dtype=torch.float64))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.w.expand(len(inputs), 1)


def on_a_line(formula: object, *places: float) -> wb.Problem:
    """A problem whose loss is a formula of one parameter, with checkpoints at these places."""
    data = torch.zeros(3, 1), torch.zeros(3, 1)
    problem = wb.Problem(Point(), lambda outputs, targets: formula(outputs[0, 0]), data)  # type: ignore[operator]
    states = {str(i): {"w": torch.tensor([x], dtype=torch.float64)} for i, x in enumerate(places)}
    return problem.with_checkpoints(states)


def wells(w: Tensor) -> Tensor:
    """Two wells at -1 and 1, with a hill of height 1 between them, and a slope."""
    return (w**2 - 1) ** 2 + 0.5 * w


def test_a_convex_loss_has_no_barrier() -> None:
    found = barriers(on_a_line(lambda w: (w - 1) ** 2, 0.0, 3.0, 5.0))
    np.testing.assert_array_equal(found.heights, 0)
    frame = found.frame()
    assert list(zip(frame["start"], frame["stop"], strict=True)) == [("0", "1"), ("1", "2"), ("0", "2")]
    np.testing.assert_allclose(frame["distance"], [3, 2, 5])
    np.testing.assert_allclose(frame["loss_start"], [1, 4, 1])
    np.testing.assert_allclose(frame["loss_stop"], [4, 16, 16])
    assert not frame["above_error"].any()
    assert found.gradients == 11


def test_two_wells_have_the_barrier_of_their_hill() -> None:
    """The slope falls out: the straight line between the ends has it, too; (t² - 1)² is left."""
    found = barriers(on_a_line(wells, -1.0, 1.0))
    row = found.frame().iloc[0]
    assert row["barrier"] == pytest.approx(1, rel=1e-12)
    assert row["location"] == pytest.approx(0.5)
    assert row["resolution"] == pytest.approx(0.1)
    assert row["above_error"]
    # By the other definition, the largest loss over the mean of the ends, which is 0 here.
    largest = max(wells(torch.tensor(x, dtype=torch.float64)).item() for x in np.linspace(-1, 1, 11))
    assert row["over_mean"] == pytest.approx(largest)
    assert found.passes == 11


def test_an_infinite_barrier_is_one() -> None:
    found = barriers(on_a_line(lambda w: torch.where(w.abs() < 0.5, math.inf, w), -1.0, 1.0))
    row = found.frame().iloc[0]
    assert row["barrier"] == math.inf
    assert row["above_error"]
    assert "1 of 1 lines rise" in found.summary()
    found.plot()


def test_the_error_covers_a_top_between_points() -> None:
    """From -1 to 1.6 the top lies between points: the whole barrier by a grid of 10001."""
    t = np.linspace(0, 1, 10_001)
    w = -1 + 2.6 * t
    loss = (w**2 - 1) ** 2
    truth = (loss - (1 - t) * loss[0] - t * loss[-1]).max()
    row = barriers(on_a_line(lambda w: (w**2 - 1) ** 2, -1.0, 1.6)).frame().iloc[0]
    assert row["barrier"] <= truth <= row["barrier"] + 1.1 * row["barrier_error"]


def test_buffers_move_along_and_are_named() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1)).eval()
    first = copy.deepcopy(model.state_dict())
    last = {name: t + 0.5 if t.is_floating_point() else t.clone() for name, t in first.items()}
    data = torch.randn(8, 2), torch.randn(8, 1)
    problem = wb.Problem(model, nn.MSELoss(), data).with_checkpoints([first, last])
    found = barriers(problem, points=3)
    assert found.carried == ("1.running_mean", "1.running_var")
    assert "averaged statistics" in found.summary()
    middle = copy.deepcopy(model)
    middle.load_state_dict({name: (first[name] + last[name]) / 2 for name in first})
    with torch.no_grad():
        assert found.lines[0].loss[1] == pytest.approx(
            nn.MSELoss()(middle(data[0]), data[1]).item(), rel=1e-6
        )


def test_lines_that_cannot_be_are_left_out_with_the_reason(tmp_path: Path) -> None:
    problem = on_a_line(wells, -1.0, -1.0, 1.0)
    broken = problem.with_checkpoints({**problem.checkpoints, "gone": str(tmp_path / "gone.pt")})
    found = barriers(broken, points=3)
    assert set(found.left_out) == {"0 to 1", "2 to gone", "0 to gone"}
    assert "are the same at both checkpoints" in found.left_out["0 to 1"]
    assert "gone.pt" in found.summary()
    assert list(found.starts) == ["1"]
    found.plot()
    found.plot_ends()
    nothing = barriers(on_a_line(wells, 1.0, 1.0))
    assert "no line between" in nothing.summary()
    assert nothing.frame().empty
    nothing.plot()


def test_a_loss_that_is_not_finite_between_is_no_crash() -> None:
    problem = on_a_line(lambda w: torch.log(w**2 - 0.01), -1.0, 1.0)
    found = barriers(problem)
    assert math.isnan(found.heights[0])
    assert found.highest is None
    found.plot()


def test_regularization_enters_on_request() -> None:
    data = torch.zeros(3, 1), torch.zeros(3, 1)
    problem = wb.Problem(Point(), lambda outputs, targets: wells(outputs[0, 0]), data, weight_decay=2.0)
    states = [{"w": torch.tensor([x], dtype=torch.float64)} for x in (-1.0, 1.0)]
    found = barriers(problem.with_checkpoints(states), regularization=True)
    assert found.heights[0] == 0  # (w² - 1)² + w² is 1 at both wells and in the middle
    assert found.terms == "loss + weight decay"


def test_an_interrupt_returns_the_lines_so_far() -> None:
    def stop(description: str, done: int, total: int | None) -> None:
        if description == "lines between checkpoints" and done == 1:
            raise KeyboardInterrupt

    with listening(stop):
        found = barriers(on_a_line(wells, -1.0, 1.0, 2.0))
    assert found.interrupted
    assert list(found.starts) == ["0"]
    assert "INTERRUPTED" in found.summary()


def test_a_result_is_saved_and_drawn(tmp_path: Path) -> None:
    found = barriers(on_a_line(wells, -1.0, 0.0, 1.0))
    again = wb.load_result(found.save(tmp_path / "found.npz"))
    assert isinstance(again, Barriers)
    np.testing.assert_array_equal(again.heights, found.heights)
    drawn = found.plot().lines[0]
    np.testing.assert_allclose(drawn.get_ydata(), found.lines[0].loss)
    np.testing.assert_allclose(found.plot_ends().lines[0].get_ydata(), found.lines[2].loss)


@pytest.mark.parametrize(("points", "message"), [(4, "must be odd"), (1, "points=1")])
def test_points_out_of_range_are_refused(points: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        barriers(on_a_line(wells, -1.0, 1.0), points=points)


def test_one_checkpoint_is_refused() -> None:
    with pytest.raises(ValueError, match="takes two checkpoints, and there are 1"):
        barriers(on_a_line(wells, -1.0))
