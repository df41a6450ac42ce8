"""The learning-rate test against gradient descent on a quadratic, whose losses are known."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD

import workbench as wb
from workbench.progress import listening
from workbench.stability.baselines import RateRange, find_rate


class Point(nn.Module):
    """One parameter, which is the output, and a buffer that counts the forward passes."""

    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.ones(1, dtype=torch.float64))
        self.register_buffer("count", torch.zeros(()))

    def forward(self, inputs: Tensor) -> Tensor:
        self.count += 1
        return self.x


def run(**keywords: Any) -> tuple[RateRange, Point, SGD]:
    model = Point()
    optimizer = SGD(model.parameters(), lr=0.123, momentum=0.0)
    data = [(torch.zeros(1), torch.zeros(1))]
    return find_rate(model, lambda x, _: 2 * x.square().sum(), data, optimizer, **keywords), model, optimizer


def test_losses_are_those_of_gradient_descent_with_growing_rates() -> None:
    """2 x² has the gradient 4 x: x shrinks by 1 − 4 η at each step, and grows once η exceeds 1/2."""
    found, *_ = run(low=1e-3, high=2.0, steps=60, smoothing=0.0)
    rates = np.geomspace(1e-3, 2.0, 60)
    x = np.concatenate([[1.0], np.cumprod(1 - 4 * rates)])[:-1]
    count = len(found.loss)
    np.testing.assert_allclose(found.rate, rates[:count])
    np.testing.assert_allclose(found.loss, 2 * x[:count] ** 2, rtol=1e-9)
    np.testing.assert_allclose(found.smooth, found.loss)
    slope = np.gradient(found.loss, np.log(found.rate))
    assert found.suggested == found.rate[slope.argmin()] < 0.5
    assert found.diverged
    assert found.loss[-1] > 4 * found.loss.min() >= found.loss[-2]


def test_the_exponential_mean_is_a_weighted_mean_of_the_losses() -> None:
    found, *_ = run(low=1e-3, high=0.4, steps=20, smoothing=0.8)
    for i, mean in enumerate(found.smooth):
        assert mean == pytest.approx(np.average(found.loss[: i + 1], weights=0.8 ** np.arange(i, -1, -1)))
    assert not found.diverged


def test_model_and_optimizer_are_put_back() -> None:
    found, model, optimizer = run(steps=10)
    assert len(found.rate) == 10
    assert (model.x.item(), model.count.item(), model.x.grad) == (1, 0, None)
    assert (optimizer.param_groups[0]["lr"], len(optimizer.state)) == (0.123, 0)


def test_an_interrupt_keeps_the_steps_so_far(tmp_path: Path) -> None:
    def interrupt(description: str, done: int, total: int | None) -> None:
        if done == 7:
            raise KeyboardInterrupt

    with listening(interrupt):
        found, model, _ = run(steps=20)
    assert (found.interrupted, len(found.rate), model.x.item()) == (True, 7, 1)
    assert "INTERRUPTED" in found.summary()
    again = wb.load_result(found.save(tmp_path / "rates.npz"))
    assert again.frame().equals(found.frame())
    found.plot()


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"low": 1.0, "high": 0.1}, r"low=1\.0, high=0\.1: allowed is 0 < low < high"),
        ({"steps": 2}, "steps=2 is out of range"),
        ({"smoothing": 1.0}, r"smoothing=1\.0 is out of range"),
        ({"diverged": 1.0}, r"diverged=1\.0 is out of range"),
    ],
)
def test_bad_arguments_are_refused(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(**keywords)
