"""The regressions on digits: their loss, and a minimum that fits every example."""

import torch

import workbench as wb
from workbench.stability.experiments.digits_regression import class_regression, half_square, parity_regression


def test_the_loss_is_half_the_squared_distance_of_an_example() -> None:
    outputs, targets = torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.zeros(2, 2)
    assert half_square(outputs, targets) == 25 / 2 / 2


def test_inputs_and_targets() -> None:
    ((batch, _),) = class_regression(50, 4, 0).batches()
    assert batch[0].shape == (50, 64)
    assert (batch[1].sum(1) == 1).all()
    ((parity, _),) = parity_regression(50, 4, 0).batches()
    even = batch[1].argmax(1) % 2 == 0
    assert torch.equal(parity[1][:, 0], torch.where(even, 1.0, -1.0))


def test_the_fitted_problem_is_a_minimum_by_name() -> None:
    name = "workbench.stability.experiments.digits_regression:fitted_parity"
    problem = wb.load_problem(name, examples=20, width=12, batch_size=5, steps=2500)
    assert problem.loss_at() < 1e-3
    assert problem.at(problem.checkpoints["0"]).loss_at() == parity_regression(20, 12, 0).loss_at()
    assert problem.at(problem.checkpoints["2500"]).loss_at() == problem.loss_at()
    assert all(parameter.grad is None for parameter in problem.model.parameters())
