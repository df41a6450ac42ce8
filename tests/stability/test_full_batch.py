"""Full-batch trainings are those of plain formulas, recorded step by step, on a copy."""

import numpy as np
import pytest
import torch
from torch import nn

import workbench as wb
from workbench.progress import listening
from workbench.stability.full_batch import recorded_training


def line() -> wb.Problem:
    """Least squares, whose Hessian is known; its first checkpoint has other weights than the model."""
    torch.manual_seed(0)
    model = nn.Linear(3, 1, bias=False).double()
    data = torch.randn(10, 3, dtype=torch.float64), torch.randn(10, 1, dtype=torch.float64)
    start = {"weight": torch.ones(1, 3, dtype=torch.float64)}
    return wb.Problem(model, nn.MSELoss(), data).with_checkpoints({0: start, 1: model.state_dict()})


def test_steps_are_those_of_gradient_descent_from_the_first_checkpoint() -> None:
    problem = line()
    before = problem.parameters_vector().clone()
    *_, recorder = recorded_training(problem, 0.05, 5, every=2)
    ((x, y), _), *_ = problem.batches()
    hessian, theta, losses = 2 * x.T @ x / 10, torch.ones(3, 1, dtype=torch.float64), []
    for _ in range(5):
        losses.append((x @ theta - y).square().mean().item())
        theta = theta - 0.05 * (2 * x.T @ (x @ theta - y) / 10)
    trace = recorder.trace()
    np.testing.assert_allclose(trace.of("loss")["value"], losses[::2])
    np.testing.assert_allclose(trace.of("sharpness")["value"], torch.linalg.eigvalsh(hessian)[-1], rtol=1e-3)
    np.testing.assert_allclose(trace.of("stability_threshold")["value"], 2 / 0.05)
    assert recorder.steps == 5
    torch.testing.assert_close(recorder.problem.parameters_vector(), theta[:, 0])
    assert problem.parameters_vector().equal(before)


def test_it_ends_where_the_gradient_is_not_finite() -> None:
    *_, recorder = recorded_training(line(), 1e200, 50, every=1)
    assert recorder.steps < 5


@pytest.mark.parametrize("at", [1, 3])
def test_an_interrupt_ends_the_training_and_keeps_what_was_recorded(at: int) -> None:
    def stop(description: str, done: int, total: int | None) -> None:
        if description == "training" and done == at:
            raise KeyboardInterrupt

    with listening(stop):
        *_, recorder = recorded_training(line(), 0.05, 50, every=1)
    assert recorder.steps == at
    assert len(recorder.trace().of("loss")) == at
