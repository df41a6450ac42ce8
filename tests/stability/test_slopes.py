"""Logits and slopes against central differences, for all kinds of models and losses."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from custom_functions import Squared
from torch import Tensor, nn

import workbench as wb
from workbench.stability.slopes import logits_and_slopes


def made(model: nn.Module, loss: Any, inputs: Tensor, targets: Tensor, **keywords: Any) -> wb.Problem:
    torch.manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    return wb.Problem(model.double().eval(), loss, (inputs, targets), **keywords)


def reals(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def direction(problem: wb.Problem) -> Tensor:
    vector = reals(problem.num_parameters)
    return vector / vector.norm()


class Language(nn.Module):
    """Attention and LayerNorm; logits (batch, tokens, classes)."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.norm, self.head = nn.LayerNorm(4), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(x + self.attention(x, x, x)[0]))


def problems() -> dict[str, wb.Problem]:
    cross_entropy, classes = nn.CrossEntropyLoss(), torch.tensor([0, 2, 1, 1, 0])
    convolution = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(18, 3)
    )
    tokens = torch.tensor([[0, 1, 2], [3, 4, -100]])
    return {
        "mlp": made(nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)), cross_entropy,
                    reals(5, 4), classes),
        "batch norm": made(convolution, cross_entropy, reals(5, 1, 5, 5), classes),
        "two backwards": made(nn.Sequential(nn.Linear(4, 5), Squared(), nn.Linear(5, 3)), cross_entropy,
                              reals(5, 4), classes),
        "tokens": made(Language(), cross_entropy, reals(2, 3, 4), tokens,
                       forward=lambda model, batch: model(batch[0]).transpose(1, 2)),
    }  # fmt: skip


@pytest.mark.parametrize("name", ["mlp", "batch norm", "two backwards", "tokens"])
def test_slopes_are_central_differences_of_the_logits(name: str) -> None:
    problem = problems()[name]
    vector = direction(problem)
    ((logits, slopes),) = logits_and_slopes(problem, vector)
    theta, step = problem.parameters_vector(), 1e-6
    outputs, after, before = (problem.logits(theta + t * vector) for t in (0, step, -step))
    differences = (after - before) / (2 * step)
    if name == "tokens":
        outputs, differences = (each.transpose(1, 2).flatten(0, 1) for each in (outputs, differences))
    torch.testing.assert_close(logits, outputs, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(slopes, differences, rtol=1e-7, atol=1e-8)
    assert not logits.requires_grad
    assert not slopes.requires_grad


def test_nothing_of_the_model_changes() -> None:
    problem = problems()["batch norm"]
    before = {name: tensor.clone() for name, tensor in problem.model.state_dict().items()}
    list(logits_and_slopes(problem, direction(problem)))
    assert all(torch.equal(tensor, before[name]) for name, tensor in problem.model.state_dict().items())
    assert all(parameter.grad is None for parameter in problem.model.parameters())


@pytest.mark.parametrize("loss", [nn.BCEWithLogitsLoss(), F.binary_cross_entropy_with_logits])
def test_each_binary_output_is_two_classes(loss: Any) -> None:
    targets = torch.tensor([[0.0, 1], [1, 1], [0, 0]], dtype=torch.float64)
    problem = made(nn.Linear(3, 2), loss, reals(3, 3), targets)
    ((logits, slopes),) = logits_and_slopes(problem, direction(problem))
    assert logits.shape == slopes.shape == (6, 2)
    assert not logits[:, 0].any()
    assert not slopes[:, 0].any()
    torch.testing.assert_close(logits[:, 1], problem.logits().flatten())


@pytest.mark.parametrize("shape", [(5, 1), (5,), (5, 1, 2), (5, 2, 1)])
def test_one_output_of_a_loss_of_the_users_own_is_two_classes(shape: tuple[int, ...]) -> None:
    """A softmax of one class would have the radius inf; one over the examples, any."""

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(outputs.flatten(), targets.flatten())

    squeezed = shape if len(shape) < 3 else (5, 2)
    model = nn.Sequential(
        nn.Linear(3, 2 if len(shape) > 2 else 1), nn.Flatten(0), nn.Unflatten(0, (-1, *shape[1:]))
    )
    targets = torch.ones(squeezed, dtype=torch.float64)
    own = made(model, loss, reals(5, 3), targets)
    known = wb.Problem(model, nn.BCEWithLogitsLoss(), (reals(5, 3), torch.ones(shape, dtype=torch.float64)))
    vector = direction(own)
    ((logits, slopes),), ((z, a),) = logits_and_slopes(own, vector), logits_and_slopes(known, vector)
    assert torch.equal(logits, z)
    assert torch.equal(slopes, a)
    assert wb.stability.taylor_radius(own, vector).radius < float("inf")


def test_log_probabilities_have_the_radius_of_their_logits() -> None:
    inputs, classes = reals(5, 4), torch.tensor([0, 2, 1, 1, 0])
    plain = made(nn.Linear(4, 3), nn.CrossEntropyLoss(), inputs, classes)
    logs = wb.Problem(
        plain.model,
        nn.NLLLoss(),
        (inputs, classes),
        forward=lambda model, batch: model(batch[0]).log_softmax(1),
    )
    radii = [
        wb.stability.logit_radius(*pair, "exact").radius
        for problem in (plain, logs)
        for pair in logits_and_slopes(problem, direction(problem))
    ]
    torch.testing.assert_close(*radii, rtol=1e-10, atol=0)


def test_a_function_of_the_users_own_may_have_its_classes_last() -> None:
    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs.flatten(0, 1), targets.flatten())

    tokens = torch.tensor([[0, 1, 2], [3, 4, 0]])
    problem = made(Language(), loss, reals(2, 3, 4), tokens)
    ((logits, _),) = logits_and_slopes(problem, direction(problem))
    torch.testing.assert_close(logits, problem.logits().flatten(0, 1))
    square = made(Language(), loss, reals(2, 5, 4), torch.zeros(2, 5, dtype=torch.long))
    with pytest.raises(ValueError, match=r"flatten them to \(rows, classes\)"):
        list(logits_and_slopes(square, direction(square)))


def test_losses_without_logits_and_other_misfits_are_refused() -> None:
    problem = made(nn.Linear(3, 2), nn.MSELoss(), reals(4, 3), reals(4, 2))
    with pytest.raises(ValueError, match="MSELoss is no cross entropy of logits"):
        list(logits_and_slopes(problem, direction(problem)))
    fine = problems()["mlp"]
    with pytest.raises(ValueError, match="a parameter vector has shape"):
        list(logits_and_slopes(fine, torch.ones(3)))
    several = made(
        nn.Linear(3, 2),
        lambda outputs, targets: F.cross_entropy(outputs[0], targets),
        reals(4, 3),
        torch.zeros(4, dtype=torch.long),
        forward=lambda model, batch: (model(batch[0]), model(batch[0])),
    )
    with pytest.raises(ValueError, match="tuple of 2 tensors"):
        list(logits_and_slopes(several, direction(several)))
