"""Factors of single examples against the Hessian of their losses by torch alone."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import workbench as wb
from workbench.stability.example_curvature import example_factors, is_quadratic


def network(outputs: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, outputs)).double()


def half_square(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).square().sum(1).mean() / 2


def fitted(loss: Any, outputs: int = 3) -> tuple[wb.Problem, Tensor]:
    """A problem at a point that fits every example, in two unequal batches; and its inputs."""
    model = network(outputs)
    inputs = torch.randn(7, 4, dtype=torch.float64)
    targets = model(inputs).detach()
    batches = [(inputs[:5], targets[:5]), (inputs[5:], targets[5:])]
    return wb.Problem(model, loss, batches), inputs


def hessian_of_example(problem: wb.Problem, loss: Any, row: Tensor) -> Tensor:
    targets = problem.model(row[None]).detach()

    def at(theta: Tensor) -> Tensor:
        outputs = torch.func.functional_call(problem.model, problem.as_parameters(theta), row[None])
        return loss(outputs, targets)

    return torch.autograd.functional.hessian(at, problem.parameters_vector())


@pytest.mark.parametrize("loss", [half_square, nn.MSELoss(), nn.SmoothL1Loss()])
def test_at_a_fitted_point_they_are_the_examples_hessians(loss: Any) -> None:
    problem, inputs = fitted(loss)
    factors = list(example_factors(problem))
    assert len(factors) == 7
    for factor, row in zip(factors, inputs, strict=True):
        assert factor.shape == (3, problem.num_parameters)
        torch.testing.assert_close(factor.T @ factor, hessian_of_example(problem, loss, row))


def test_the_scale_of_the_loss_counts() -> None:
    halves, means = (
        torch.stack(list(example_factors(fitted(loss)[0]))) for loss in (half_square, nn.MSELoss())
    )
    torch.testing.assert_close(means.square() * 3 / 2, halves.square())  # 2/c against 1


def test_their_mean_is_the_gauss_newton_matrix_of_any_convex_loss() -> None:
    torch.manual_seed(0)
    data = torch.randn(9, 4, dtype=torch.float64), torch.randint(0, 3, (9,))
    problem = wb.Problem(network(), nn.CrossEntropyLoss(), data)
    mean = torch.stack([factor.T @ factor for factor in example_factors(problem)]).mean(0)
    torch.testing.assert_close(mean, wb.curvature.ggn(problem).dense(), rtol=1e-9, atol=1e-12)


def test_squared_errors_are_recognised_by_what_they_are() -> None:
    assert is_quadratic(fitted(half_square)[0])
    assert is_quadratic(fitted(nn.MSELoss(), 1)[0])
    assert not is_quadratic(fitted(nn.SmoothL1Loss())[0])
    torch.manual_seed(0)
    data = torch.randn(9, 4, dtype=torch.float64), torch.randint(0, 3, (9,))
    assert not is_quadratic(wb.Problem(network(), nn.CrossEntropyLoss(), data))


def test_examples_that_count_unequally_are_refused() -> None:
    torch.manual_seed(0)
    inputs, targets = torch.randn(9, 4, dtype=torch.float64), torch.randint(0, 3, (9,))
    weights = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    problem = wb.Problem(network(), nn.CrossEntropyLoss(weight=weights), (inputs, targets))
    with pytest.raises(ValueError, match="for examples that count alike"):
        list(example_factors(problem))
    targets[0] = -100
    problem = wb.Problem(network(), nn.CrossEntropyLoss(), (inputs, targets))
    with pytest.raises(ValueError, match="for examples that count alike"):
        list(example_factors(problem))


@pytest.mark.parametrize(
    ("loss", "keywords", "message"),
    [
        (nn.MSELoss(reduction="sum"), {}, "the loss is a sum over examples"),
        (nn.MSELoss(), {"weight": "batch"}, "every batch alike cannot be taken out"),
        (lambda outputs, targets: -half_square(outputs, targets), {}, "negative curvature -1 in the outputs"),
    ],
)
def test_losses_outside_the_theory_are_refused(loss: Any, keywords: dict[str, Any], message: str) -> None:
    model = network()
    inputs = torch.randn(6, 4, dtype=torch.float64)
    problem = wb.Problem(model, loss, (inputs, model(inputs).detach()), **keywords)
    with pytest.raises(ValueError, match=message):
        list(example_factors(problem))


def test_several_outputs_in_a_tuple_are_refused() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 1)

        def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
            return self.layer(inputs), self.layer(-inputs)

    def first_alone(outputs: tuple[Tensor, Tensor], targets: Tensor) -> Tensor:
        return (outputs[0] - targets).square().mean()

    problem = wb.Problem(Two(), first_alone, (torch.randn(5, 4), torch.randn(5, 1)))
    with pytest.raises(ValueError, match="the outputs are a tuple"):
        list(example_factors(problem))
