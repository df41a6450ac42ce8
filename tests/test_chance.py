"""Losses of constant outputs against their closed forms."""

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

import workbench as wb
from workbench.chance import chance_loss


def test_of_a_classifier_it_is_the_entropy_of_the_classes() -> None:
    y = torch.tensor([0] * 6 + [1] * 3 + [2])
    batches = [(torch.randn(7, 4), y[:7]), (torch.randn(3, 4), y[7:])]
    problem = wb.Problem(nn.Linear(4, 3), nn.CrossEntropyLoss(), batches)
    shares = (0.6, 0.3, 0.1)
    assert chance_loss(problem) == pytest.approx(-sum(p * math.log(p) for p in shares), rel=1e-6)


def test_the_data_is_read_once_for_all_steps_of_the_search() -> None:
    class Slow:
        reads = 0

        def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
            self.reads += 1
            yield torch.ones(4, 4), torch.tensor([0, 1, 1, 1])

    data = Slow()
    problem = wb.Problem(nn.Linear(4, 2), nn.CrossEntropyLoss(), data)
    assert problem.num_examples == 4
    before = data.reads
    chance_loss(problem)
    assert data.reads == before + 2  # and the first batch for the shape of the outputs


def test_of_a_regression_it_is_the_variance() -> None:
    y = torch.randn(12, 2, dtype=torch.float64) * torch.tensor([1.0, 5.0]) + 3
    problem = wb.Problem(nn.Linear(4, 2).double(), nn.MSELoss(), (torch.randn(12, 4).double(), y))
    assert chance_loss(problem) == pytest.approx(y.var(0, correction=0).mean().item(), rel=1e-9)


def test_positions_of_a_sequence_share_the_constant() -> None:
    class Positions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(x).flatten(0, 1)

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.cross_entropy(outputs, targets.flatten())

    y = torch.tensor([[0, 0, 1], [0, 1, 1], [1, 1, 1], [1, 0, 1]])
    problem = wb.Problem(Positions(), loss, (torch.randn(4, 3, 4), y))
    share = y.double().mean().item()
    entropy = -share * math.log(share) - (1 - share) * math.log(1 - share)
    assert chance_loss(problem) == pytest.approx(entropy, rel=1e-6)


def test_outputs_of_another_kind_are_refused() -> None:
    class Two(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:  # type: ignore[override]
            return {"logits": super().forward(input)}  # type: ignore[return-value]

    def loss(outputs: dict[str, Tensor], targets: Tensor) -> Tensor:
        return nn.functional.cross_entropy(outputs["logits"], targets)

    problem = wb.Problem(Two(4, 3), loss, (torch.randn(5, 4), torch.arange(5) % 3))
    with pytest.raises(ValueError, match="returns a dict, of which no constant is known"):
        chance_loss(problem)


def test_a_loss_without_a_least_constant_is_refused() -> None:
    problem = wb.Problem(nn.Linear(4, 3), lambda outputs, targets: outputs.mean(), (torch.randn(5, 4),) * 2)
    with pytest.raises(ValueError, match="no constant output was found to have the least loss"):
        chance_loss(problem)
